//! The network against the engine, gradients against slopes, and whole runs.
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor, Var};

use super::corpus::{Batch, Corpus};
use super::network::Network;
use super::optimizer::{AdamW, Gradients};
use super::student::{Blueprint, Size};
use super::training::Training;
use super::{Distillation, Distilled, Objective, Progress};
use crate::engine::tiny::{LLAMA, Shape, Tiny};
use crate::gguf::{Array, File, Value};
use crate::{DType, Error, Model, Result};

const QWEN2: Shape = Shape { architecture: "qwen2", ..LLAMA };
const QWEN3: Shape = Shape { architecture: "qwen3", head_size: 32, rope_size: 32, ..LLAMA };
const PARTLY_ROTATED: Shape = Shape { rope_size: 8, ..LLAMA };
const ALL: Objective = Objective { logits: 1.0, hidden: 1.0, text: 0.5 };

fn file(tiny: &Tiny) -> File {
    File::from_bytes(tiny.gguf(DType::F32)).unwrap()
}

fn windows(lengths: &[u32]) -> Vec<Vec<u32>> {
    lengths.iter().map(|length| (0..*length).map(|i| (i * 37 + length) % 250).collect()).collect()
}

fn batch(windows: &[Vec<u32>]) -> Batch {
    Batch::new(&windows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &Device::Cpu).unwrap()
}

/// The engine's logits after each token but the last of each window.
fn engine_logits(tiny: &Tiny, windows: &[Vec<u32>]) -> Vec<f32> {
    let model = Model::from_bytes(tiny.gguf(DType::F32)).unwrap();
    let mut all = Vec::new();
    for window in windows {
        let mut keep = |_: usize, logits: &[f32]| {
            all.extend(logits);
            Ok(())
        };
        model.predict(&window[..window.len() - 1], &mut keep).unwrap();
    }
    all
}

#[test]
fn network_computes_the_logits_of_the_engine_for_texts_of_different_lengths() {
    for shape in [LLAMA, QWEN2, QWEN3, PARTLY_ROTATED] {
        let tiny = Tiny::new(shape);
        let source = file(&tiny);
        let windows = windows(&[23, 5, 2]);
        let blueprint = Blueprint::new(&source, Size::default()).unwrap();
        let parameters = blueprint.parameters(0, &Device::Cpu).unwrap();
        let network = Network::load(&blueprint.config, &mut parameters.tracked(), &Device::Cpu).unwrap();

        let batch = batch(&windows);
        let states = network.states(&batch.ids, &[shape.layers - 1]).unwrap();
        let logits = network.logits(&batch.predicting(&states).unwrap()[0]).unwrap();

        let (ours, engine) =
            (logits.flatten_all().unwrap().to_vec1::<f32>().unwrap(), engine_logits(&tiny, &windows));
        assert_eq!(ours.len(), engine.len());
        let worst = ours.iter().zip(&engine).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // The engine keeps keys and values as 16-bit floats.
        assert!(worst < 5e-3, "{}: {worst}", shape.architecture);
    }
}

fn corpus(windows: &[Vec<u32>]) -> Corpus {
    Corpus { training: windows.to_vec(), held_out: Vec::new() }
}

/// For each weight: its name, how long its gradient is, and how steep the loss is in the gradient's direction.
fn slopes(shape: Shape, size: Size, objective: Objective) -> Vec<(String, f64, f64)> {
    let source = file(&Tiny::new(shape));
    let windows = windows(&[9, 6]);
    let (corpus, batch) = (corpus(&windows), batch(&windows));
    let blueprint = Blueprint::new(&source, size).unwrap();
    let distillation = Distillation::new(&source).objective(objective).temperature(1.5);
    let settings = distillation.settings();
    let mut training = Training::new(settings, &source, &blueprint, &corpus, Device::Cpu).unwrap();
    training.rows_at_once = 5;
    let loss = || training.gather(&batch, &mut Gradients::default()).unwrap();
    let mut gradients = Gradients::default();
    training.gather(&batch, &mut gradients).unwrap();
    let mut slopes = Vec::new();
    for (slot, gradient) in training.optimizer().slots().iter().zip(gradients.iter()) {
        let gradient = gradient.unwrap_or_else(|| panic!("{} has no gradient", slot.name));
        let length = f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
        let start = slot.value.copy().unwrap();
        let at = |step: f64| {
            slot.value.set(&(&start + (gradient * (step / length)).unwrap()).unwrap()).unwrap();
            loss()
        };
        let step = 5e-3;
        let slope = (at(step) - at(-step)) / (2.0 * step);
        at(0.0);
        slopes.push((slot.name.clone(), length, slope));
    }
    slopes
}

fn assert_slopes(slopes: &[(String, f64, f64)]) {
    for (name, length, slope) in slopes {
        assert!((length - slope).abs() < 0.02 * length + 1e-3, "{name}: gradient {length}, slope {slope}");
    }
}

#[test]
fn gradient_of_every_weight_is_the_slope_of_the_loss() {
    let fewer = Size { layers: Some(1), ..Size::default() };
    for shape in [LLAMA, QWEN2, QWEN3, PARTLY_ROTATED] {
        let slopes = slopes(shape, fewer, ALL);
        // Adding the same to all keys changes no attention: their bias has no slope, and no direction to test.
        let tested: Vec<_> = slopes.into_iter().filter(|(name, ..)| !name.ends_with("attn_k.bias")).collect();
        assert_slopes(&tested);
    }
}

#[test]
fn gradient_through_the_projection_of_a_narrower_student_is_the_slope_of_the_loss() {
    let narrower = Size { hidden: Some(32), feed_forward: Some(40), layers: None };

    let slopes = slopes(LLAMA, narrower, Objective { logits: 0.0, hidden: 1.0, text: 0.1 });

    assert!(slopes.iter().any(|(name, ..)| name == "projection"));
    assert_slopes(&slopes);
}

/// Sentences of a small grammar, each with a number.
fn texts(count: usize) -> Vec<String> {
    let things = ["hello", "world", "the cat", "a dog"];
    (0..count).map(|i| format!("{} saw {} on day {i}", things[i % 4], things[i / 4 % 4])).collect()
}

fn distillation(teacher: &File) -> Distillation<'_> {
    Distillation::new(teacher)
        .layers(1)
        .steps(6)
        .batch_tokens(64)
        .measure_every(2)
        .warm_up(0.0)
        .dtype(DType::F32)
}

fn run(distillation: Distillation<'_>, target: &Path, stop_after: usize) -> Result<Distilled> {
    distillation.run(texts(20), target, |progress| match progress.step == stop_after {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

#[test]
fn untrained_student_is_the_chosen_layers_of_the_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("student.gguf");
    let teacher = file(&Tiny::new(Shape { layers: 3, ..LLAMA }));

    // So low a rate leaves the untrained student the best.
    let distilled = run(distillation(&teacher).layers(2).learning_rate(1e-30), &target, 0).unwrap();

    let student = File::open(&target).unwrap();
    assert_eq!(distilled.best_step, 0);
    assert_eq!(student.metadata().unsigned("llama.block_count").unwrap(), Some(2));
    let same = |student_name: &str, teacher_name: &str| {
        let read = |file: &File, name: &str| file.read(file.tensor(name).unwrap()).unwrap();
        assert_eq!(read(&student, student_name), read(&teacher, teacher_name), "{student_name}");
    };
    same("token_embd.weight", "token_embd.weight");
    same("blk.0.attn_q.weight", "blk.0.attn_q.weight");
    same("blk.1.ffn_down.weight", "blk.2.ffn_down.weight");
    let names = |file: &File| file.tensors().iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>();
    let mut kept = names(&teacher);
    kept.retain(|name| !name.starts_with("blk.2."));
    assert_eq!(names(&student), kept);
}

#[test]
fn narrower_student_of_every_family_learns_and_loads() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("student.gguf");
    for shape in [LLAMA, QWEN2, QWEN3, PARTLY_ROTATED] {
        let teacher = file(&Tiny::new(shape));
        let objective = Objective { text: 0.0, ..ALL };
        let narrower =
            distillation(&teacher).hidden(32).feed_forward(48).objective(objective).learning_rate(1e-2);

        let distilled = run(narrower.steps(30).dtype(DType::F16), &target, 0).unwrap();

        let (before, best) = (distilled.before.unwrap(), distilled.best.unwrap());
        assert!(best.divergence < 0.9 * before.divergence, "{}: {before:?} {best:?}", shape.architecture);
        let model = Model::open(&target).unwrap();
        assert_eq!(model.info().hidden, 32);
        assert!(model.perplexity("hello saw a dog on day 7").unwrap().is_finite());
    }
}

#[test]
fn interrupted_run_goes_on_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let teacher = file(&Tiny::new(LLAMA));
    let at_once = run(distillation(&teacher).accumulate(2), &path("once"), 0).unwrap();
    let resumable = || distillation(&teacher).accumulate(2).checkpoint(path("checkpoint"));

    let first = run(resumable(), &path("twice"), 3).unwrap();
    let kept = path("checkpoint").exists();
    let second = run(resumable(), &path("twice"), 0).unwrap();

    assert_eq!((first.steps, first.finished, kept), (3, false, true));
    assert_eq!((second.steps, second.finished, path("checkpoint").exists()), (6, true, false));
    assert_eq!((second.tokens, second.before, second.best), (at_once.tokens, at_once.before, at_once.best));
    assert_eq!(std::fs::read(path("once")).unwrap(), std::fs::read(path("twice")).unwrap());
}

#[test]
fn checkpoint_of_another_run_or_none_at_all_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let teacher = file(&Tiny::new(LLAMA));
    let resumable = || distillation(&teacher).checkpoint(path("checkpoint"));
    run(resumable(), &path("student"), 1).unwrap();

    let other = run(resumable().seed(7), &path("student"), 0);
    assert!(matches!(other, Err(Error::Metadata { key, .. }) if key == "distill.fingerprint"));
    let whole = std::fs::read(path("checkpoint")).unwrap();
    std::fs::write(path("checkpoint"), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(run(resumable(), &path("student"), 0), Err(Error::Malformed { .. })));
}

#[test]
fn same_seed_makes_the_same_file_and_another_seed_another() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = file(&Tiny::new(LLAMA));
    let make = |name: &str, seed: u64| {
        let target = folder.path().join(name);
        run(distillation(&teacher).hidden(32).seed(seed), &target, 0).unwrap();
        std::fs::read(target).unwrap()
    };

    assert_eq!(make("first", 1), make("second", 1));
    assert_ne!(make("first", 1), make("third", 2));
}

#[test]
fn progress_tells_of_every_step_and_of_every_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = file(&Tiny::new(LLAMA));
    let mut seen: Vec<Progress> = Vec::new();

    let remember = |progress: &Progress| {
        seen.push(*progress);
        ControlFlow::Continue(())
    };
    distillation(&teacher).run(texts(20), folder.path().join("student"), remember).unwrap();

    assert_eq!(seen.iter().map(|progress| progress.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seen.iter().filter(|progress| progress.held_out.is_some()).count(), 3);
    assert!(seen.iter().all(|progress| progress.loss > 0.0 && progress.tokens_per_second > 0.0));
    assert!(seen[5].time_left.is_zero() && !seen[0].time_left.is_zero());
}

#[test]
fn weights_that_are_not_numbers_stop_training_at_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = Tiny::new(LLAMA);
    broken.tensors.get_mut("blk.1.ffn_up.weight").unwrap().1[5] = f32::NAN;

    let error = run(distillation(&file(&broken)), &folder.path().join("student"), 0).unwrap_err();

    assert!(matches!(error, Error::Diverged { step: 1, .. }), "{error}");
}

#[test]
fn options_out_of_range_are_errors_that_name_them() {
    let teacher = file(&Tiny::new(LLAMA));
    let new = || distillation(&teacher);
    let nothing = Objective { logits: 0.0, hidden: 0.0, text: 0.0 };
    for (option, distillation) in [
        ("layers", new().layers(0)),
        ("layers", new().layers(3)),
        ("hidden", new().hidden(65)),
        ("steps", new().steps(0)),
        ("window", new().window(1)),
        ("accumulate", new().accumulate(0)),
        ("measure_every", new().measure_every(0)),
        ("learning_rate", new().learning_rate(0.0)),
        ("learning_rate", new().learning_rate(1.5)),
        ("learning_rate", new().learning_rate(f64::NAN)),
        ("temperature", new().temperature(0.0)),
        ("warm_up", new().warm_up(0.6)),
        ("held_out", new().held_out(-0.1)),
        ("objective", new().objective(nothing)),
        ("dtype", new().dtype(DType::Q8_0)),
    ] {
        let result = run(distillation, Path::new("never written"), 0);
        assert!(matches!(result, Err(Error::Option { option: wrong, .. }) if wrong == option), "{option}");
    }
}

#[test]
fn student_with_other_tokens_or_more_layers_is_refused() {
    let teacher = file(&Tiny::new(LLAMA));
    let mut renamed = Tiny::new(LLAMA);
    let Some(Value::Array(Array::String(mut tokens))) = renamed.metadata.remove("tokenizer.ggml.tokens")
    else {
        unreachable!()
    };
    tokens[100] = "other".to_owned();
    renamed.metadata.insert("tokenizer.ggml.tokens", tokens);
    let run = |student: &Tiny| {
        let student = file(student);
        let result = Distillation::new(&teacher)
            .student(&student)
            .run(texts(3), "never written", |_| ControlFlow::Continue(()));
        result.unwrap_err().to_string()
    };

    assert!(run(&renamed).contains("\"other\" at 100"), "{}", run(&renamed));
    assert!(run(&Tiny::new(Shape { layers: 3, ..LLAMA })).contains("3 layers"));
}

#[test]
fn texts_without_anything_to_predict_are_an_error() {
    let teacher = file(&Tiny::new(LLAMA));
    for nothing in [vec![], vec!["", "a"]] {
        let result = distillation(&teacher).run(nothing, "never written", |_| ControlFlow::Continue(()));
        assert!(matches!(result, Err(Error::Empty { .. })));
    }
}

#[test]
fn tensor_that_cannot_be_trained_is_named() {
    let mut odd = Tiny::new(LLAMA);
    odd.tensors.insert("blk.0.attn_sinks.weight".to_owned(), (vec![4], vec![0.0; 4]));
    let result = run(distillation(&file(&odd)), Path::new("never written"), 0);
    assert!(matches!(result, Err(Error::Tensor { name, .. }) if name == "blk.0.attn_sinks.weight"));
}

#[test]
fn optimizer_takes_the_steps_of_the_tensor_library_s_as_long_as_nothing_is_clipped() {
    use candle_nn::{Optimizer, ParamsAdamW};
    let start = [0.3_f32, -0.2, 0.1, 0.4];
    let weights = || Var::from_slice(&start, (2, 2), &Device::Cpu).unwrap();
    let loss = |weights: &Var| {
        let target = Tensor::new(&[[0.2_f32, 0.1], [-0.3, 0.4]], &Device::Cpu).unwrap();
        (weights.as_tensor() - target).unwrap().sqr().unwrap().mean_all().unwrap()
    };
    let (ours, theirs) = (weights(), weights());
    let mut optimizer = AdamW::new([("w".to_owned(), ours.clone())]).unwrap();
    let parameters = ParamsAdamW { lr: 0.01, beta2: 0.98, weight_decay: 0.01, ..ParamsAdamW::default() };
    let mut reference = candle_nn::AdamW::new(vec![theirs.clone()], parameters).unwrap();

    for _ in 0..20 {
        let mut gradients = Gradients::default();
        optimizer.gather(&loss(&ours), &mut gradients).unwrap();
        let length = gradients.length().unwrap();
        assert!(length < 1.0);
        optimizer.step(&gradients, length, 0.01).unwrap();
        reference.step(&loss(&theirs).backward().unwrap()).unwrap();
    }

    let numbers = |weights: &Var| weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (ours, theirs) in numbers(&ours).iter().zip(numbers(&theirs)) {
        assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
    }
}

#[test]
fn long_gradient_is_scaled_down_before_it_is_remembered() {
    let weights = Var::new(&[3.0_f32, 4.0], &Device::Cpu).unwrap();
    let mut optimizer = AdamW::new([("w".to_owned(), weights.clone())]).unwrap();
    let mut gradients = Gradients::default();
    optimizer.gather(&(weights.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap(), &mut gradients).unwrap();

    let length = gradients.length().unwrap();
    optimizer.step(&gradients, length, 0.01).unwrap();

    assert!((length - 5.0).abs() < 1e-6);
    let mean = optimizer.slots()[0].mean.to_vec1::<f32>().unwrap();
    assert!((mean[0] - 0.06).abs() < 1e-6 && (mean[1] - 0.08).abs() < 1e-6, "{mean:?}");
}
