//! Pruning the demonstration model: what it loses, and that the file that comes of it is a model like any other.
use std::ops::ControlFlow;

use aic_quant::prune::{Method, Pattern, Pruned, Saliency};
use aic_quant::{Calibration, DType, Importance, Model, ModelOptions, Quantizer, Recipe, TensorSource, gguf};

use crate::demo;

/// A text of what the model was trained on that is not the one it is calibrated with.
const TEXT: &str = "<|user|>What is the capital of Portugal?<|end|><|assistant|>The capital of Portugal is Lisbon.<|end|>\
<|user|>14 + 7<|end|><|assistant|>14 + 7 = 21<|end|>\
<|user|>Now tell me: what follows Friday?<|end|><|assistant|>After Friday comes Saturday.<|end|>\
<|user|>Write a Python function called read_total that adds two numbers.<|end|><|assistant|>def read_total(a, b):\n    \
return a + b<|end|>\
<|user|>Call a tool: Find a hotel in Paris for Monday.<|end|><|assistant|>{\"name\": \"find_hotel\", \"arguments\": \
{\"city\": \"Paris\", \"day\": \"Monday\"}}<|end|>";

fn importance() -> Importance {
    let model = demo::model();
    let mut importance = Importance::new();
    Calibration::new(&model)
        .window(128)
        .importance(&demo::calibration(&model), &mut importance, |_| ControlFlow::Continue(()))
        .unwrap();
    importance
}

fn perplexity(source: &dyn TensorSource) -> f64 {
    ModelOptions::new().load(source).unwrap().perplexity(TEXT).unwrap()
}

#[test]
fn half_of_the_weights_cost_less_when_chosen_by_their_inputs_than_by_their_size() {
    let source = demo::file();
    let importance = importance();
    let without = |saliency, share| {
        let method = Method::Weights { saliency, pattern: Pattern::Rows { share } };
        perplexity(&Pruned::new(&source, &method).unwrap())
    };
    let whole = perplexity(&source);

    let [magnitude, wanda] =
        [Saliency::Magnitude, Saliency::Wanda(&importance)].map(|saliency| without(saliency, 0.5));

    assert!(wanda < magnitude, "{wanda} {magnitude}");
    assert!(magnitude < 1.5 * whole, "{magnitude} {whole}");
    assert!(without(Saliency::Wanda(&importance), 0.2) < 1.02 * whole);
    assert_eq!(without(Saliency::Magnitude, 0.0), whole);
}

#[test]
fn report_says_how_much_is_zero_and_that_it_takes_the_same_room() {
    let source = demo::file();
    let method =
        Method::Weights { saliency: Saliency::Magnitude, pattern: Pattern::Groups { keep: 2, of: 4 } };

    let report = Pruned::new(&source, &method).unwrap().report().unwrap();

    let embedding = report.matrices.iter().find(|matrix| matrix.tensor == "token_embd.weight").unwrap();
    let down = report.matrices.iter().find(|matrix| matrix.tensor == "blk.2.ffn_down.weight").unwrap();
    assert_eq!((down.elements, down.zeros, down.share()), (512 * 256, 512 * 128, 0.5));
    assert_eq!(embedding.share(), 0.0);
    assert_eq!(report.bytes_after, report.bytes_before);
    let text = report.to_string();
    assert!(text.contains("5.0 MiB to 5.0 MiB") && text.contains("as much room"), "{text}");
}

#[test]
fn file_without_a_layer_a_head_and_channels_is_smaller_and_answers() {
    let source = demo::file();
    let importance = importance();
    let saliency = Saliency::Wanda(&importance);
    let heads = Pruned::new(&source, &Method::Heads { saliency, keep: 3 }).unwrap();
    let channels = Pruned::new(&heads, &Method::Channels { saliency, keep: 448 }).unwrap();
    let pruned = Pruned::new(&channels, &Method::Layers { remove: vec![1] }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pruned.gguf");

    let plan = Recipe::uniform(DType::Q8_0).plan(&pruned, None).unwrap();
    Quantizer::new(&plan).run(&pruned, &target, |_| ControlFlow::Continue(())).unwrap();

    let written = gguf::File::open(&target).unwrap();
    let number = |key: &str| written.metadata().unsigned(&format!("llama.{key}")).unwrap().unwrap();
    assert_eq!((number("block_count"), number("feed_forward_length")), (3, 448));
    assert_eq!((number("attention.head_count"), number("attention.head_count_kv")), (6, 3));
    let model = Model::open(&target).unwrap();
    let layer = 2 * 192 * 256 + 2 * 96 * 256 + 3 * 448 * 256 + 2 * 256;
    assert_eq!(model.info().parameters, 1024 * 256 + 256 + 3 * layer);
    // A model that guessed among its 1024 tokens would have a perplexity of 1024.
    assert!(model.perplexity(TEXT).unwrap() < 20.0);
}

#[test]
fn layer_of_least_influence_is_the_one_that_is_missed_least_or_nearly_so() {
    let source = demo::file();
    let model = demo::model();
    let influence = Calibration::new(&model)
        .window(128)
        .influence(&demo::calibration(&model), |_| ControlFlow::Continue(()))
        .unwrap();
    let without = |method: &Method<'_>| perplexity(&Pruned::new(&source, method).unwrap());

    let chosen = without(&Method::least_influential(&influence, 1));

    let mut all: Vec<f64> = (0..4).map(|layer| without(&Method::Layers { remove: vec![layer] })).collect();
    all.sort_by(f64::total_cmp);
    assert!(chosen <= all[1], "{chosen} {all:?}");
}
