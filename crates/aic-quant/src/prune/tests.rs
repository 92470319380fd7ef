//! What contributes nothing is what goes, and the model says the same without it.
use super::{Method, Pattern, Pruned, Saliency};
use crate::engine::tiny::{LLAMA, Shape, Tiny};
use crate::{DType, Error, Importance, Model, ModelOptions, TensorSource, gguf};

const SHAPES: [Shape; 3] = [
    Shape { layers: 3, ..LLAMA },
    Shape { architecture: "qwen2", layers: 3, ..LLAMA },
    Shape { architecture: "qwen3", head_size: 32, rope_size: 32, layers: 3, ..LLAMA },
];
const TOKENS: [u32; 7] = [3, 99, 14, 150, 92, 65, 35];

fn file(tiny: &Tiny) -> gguf::File {
    gguf::File::from_bytes(tiny.gguf(DType::F32)).unwrap()
}

fn load(source: &dyn TensorSource) -> Model {
    ModelOptions::new().load(source).unwrap()
}

/// Zeroes these columns of a matrix.
fn silence(tiny: &mut Tiny, name: &str, columns: std::ops::Range<usize>) {
    let (shape, values) = tiny.tensors.get_mut(name).unwrap();
    values.chunks_mut(shape[1]).for_each(|row| row[columns.clone()].fill(0.0));
}

/// That the model says what plain loops say about `tiny`.
fn assert_says(source: &dyn TensorSource, tiny: &Tiny) {
    let expected = tiny.logits(&TOKENS);
    let check = |position: usize, logits: &[f32]| {
        for (ours, theirs) in logits.iter().zip(&expected[position]) {
            assert!((f64::from(*ours) - theirs).abs() < 5e-3, "{ours} {theirs}");
        }
        Ok(())
    };
    load(source).predict(&TOKENS, check).unwrap();
}

#[test]
fn heads_that_contribute_nothing_go_and_the_model_says_the_same() {
    for shape in SHAPES {
        let mut tiny = Tiny::new(shape);
        let both = 2 * shape.head_size;
        silence(&mut tiny, "blk.0.attn_output.weight", both..2 * both);
        silence(&mut tiny, "blk.1.attn_output.weight", 0..both);
        silence(&mut tiny, "blk.2.attn_output.weight", 0..both);
        let source = file(&tiny);

        let pruned = Pruned::new(&source, &Method::Heads { saliency: Saliency::Magnitude, keep: 1 }).unwrap();

        assert_says(&pruned, &tiny);
        let shape_of = |name: &str| pruned.tensors().iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(shape_of("blk.1.attn_q.weight").shape, [both, shape.hidden]);
        assert_eq!(shape_of("blk.1.attn_k.weight").shape, [both / 2, shape.hidden]);
        assert_eq!(shape_of("blk.1.attn_output.weight").shape, [shape.hidden, both]);
        let number =
            |key: &str| pruned.metadata().unsigned(&format!("{}.{key}", shape.architecture)).unwrap();
        assert_eq!((number("attention.head_count"), number("attention.head_count_kv")), (Some(2), Some(1)));
        assert_eq!(number("attention.key_length"), Some(shape.head_size as u64));
    }
}

#[test]
fn heads_of_a_model_that_does_not_say_how_large_they_are_keep_their_size() {
    let mut tiny = Tiny::new(LLAMA);
    for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        tiny.metadata.remove(&format!("llama.{key}"));
    }
    for layer in 0..2 {
        silence(&mut tiny, &format!("blk.{layer}.attn_output.weight"), 0..32);
    }
    let source = file(&tiny);

    let pruned = Pruned::new(&source, &Method::Heads { saliency: Saliency::Magnitude, keep: 1 }).unwrap();

    assert_says(&pruned, &tiny);
}

#[test]
fn channels_that_contribute_nothing_go_and_the_model_says_the_same() {
    for shape in SHAPES {
        let mut tiny = Tiny::new(shape);
        silence(&mut tiny, "blk.0.ffn_down.weight", 0..32);
        silence(&mut tiny, "blk.1.ffn_down.weight", 17..49);
        silence(&mut tiny, "blk.2.ffn_down.weight", 64..96);
        let source = file(&tiny);

        let pruned =
            Pruned::new(&source, &Method::Channels { saliency: Saliency::Magnitude, keep: 64 }).unwrap();

        assert_says(&pruned, &tiny);
        let report = pruned.report().unwrap();
        assert_eq!(report.parameters_before - report.parameters_after, 3 * 3 * 32 * 64);
        assert_eq!(report.bytes_before - report.bytes_after, 4 * 3 * 3 * 32 * 64);
        assert_eq!(report.zeros(), 0);
    }
}

#[test]
fn channels_that_are_never_given_anything_go_by_their_importance() {
    let tiny = Tiny::new(LLAMA);
    let source = file(&tiny);
    let mut importance = Importance::new();
    let mut sums = vec![1.0; 96];
    sums[5] = 0.0;
    for layer in 0..2 {
        importance.add(&format!("blk.{layer}.ffn_down.weight"), &sums, 1).unwrap();
    }

    let method = Method::Channels { saliency: Saliency::Wanda(&importance), keep: 95 };
    let pruned = Pruned::new(&source, &method).unwrap();

    let before = source.read(source.tensor("blk.1.ffn_up.weight").unwrap()).unwrap();
    let up = pruned.tensors().iter().find(|tensor| tensor.name == "blk.1.ffn_up.weight").unwrap();
    let row = 4 * LLAMA.hidden;
    assert_eq!(pruned.read(up).unwrap(), [&before[..5 * row], &before[6 * row..]].concat());
}

#[test]
fn layers_go_the_others_are_numbered_anew_and_the_model_says_the_same() {
    for shape in SHAPES {
        let mut tiny = Tiny::new(shape);
        silence(&mut tiny, "blk.1.attn_output.weight", 0..shape.heads * shape.head_size);
        silence(&mut tiny, "blk.1.ffn_down.weight", 0..shape.feed_forward);
        let source = file(&tiny);

        let pruned = Pruned::new(&source, &Method::least_influential(&[0.5, 0.0, 0.2], 1)).unwrap();

        assert_says(&pruned, &tiny);
        let key = format!("{}.block_count", shape.architecture);
        assert_eq!(pruned.metadata().unsigned(&key).unwrap(), Some(2));
        assert!(!pruned.tensors().iter().any(|tensor| tensor.name.starts_with("blk.2.")));
    }
}

#[test]
fn layers_of_a_quantized_model_go_too_and_other_parts_do_not() {
    let wide = Shape { hidden: 64, feed_forward: 64, ..LLAMA };
    let source = gguf::File::from_bytes(Tiny::new(wide).gguf(DType::Q8_0)).unwrap();
    let refused = |method| Pruned::new(&source, &method).unwrap_err();

    let pruned = Pruned::new(&source, &Method::Layers { remove: vec![0] }).unwrap();
    load(&pruned).predict(&TOKENS, |_, _| Ok(())).unwrap();
    assert_eq!(pruned.report().unwrap().matrices, []);

    let saliency = Saliency::Magnitude;
    for method in [
        Method::Weights { saliency, pattern: Pattern::Rows { share: 0.5 } },
        Method::Heads { saliency, keep: 1 },
        Method::Channels { saliency, keep: 32 },
    ] {
        let error = refused(method);
        assert!(matches!(error, Error::UnsupportedDType { dtype: DType::Q8_0, .. }));
        assert!(error.to_string().contains("before quantizing"), "{error}");
    }
}

#[test]
fn pruning_twice_is_pruning_a_pruned_model() {
    let mut tiny = Tiny::new(Shape { layers: 3, ..LLAMA });
    silence(&mut tiny, "blk.2.attn_output.weight", 0..64);
    silence(&mut tiny, "blk.2.ffn_down.weight", 0..96);
    for layer in 0..2 {
        silence(&mut tiny, &format!("blk.{layer}.ffn_down.weight"), 32..96);
    }
    let source = file(&tiny);

    let shallow = Pruned::new(&source, &Method::Layers { remove: vec![2] }).unwrap();
    let pruned =
        Pruned::new(&shallow, &Method::Channels { saliency: Saliency::Magnitude, keep: 32 }).unwrap();

    assert_says(&pruned, &tiny);
}

#[test]
fn layers_that_stay_keep_their_windows() {
    let source = file(&Tiny::new(Shape { architecture: "gemma2", layers: 5, ..LLAMA }));

    let pruned = Pruned::new(&source, &Method::Layers { remove: vec![1, 2] }).unwrap();

    let pattern = pruned.metadata().get("gemma2.attention.sliding_window_pattern");
    assert_eq!(pattern, Some(&vec![true, false, true].into()));
}

#[test]
fn fused_matrices_are_not_cut_as_if_they_were_none() {
    let mut tiny = Tiny::new(Shape { architecture: "phi3", ..LLAMA });
    tiny.tensors.retain(|name, _| !name.contains("ffn_gate"));
    let source = file(&tiny);

    for method in [
        Method::Channels { saliency: Saliency::Magnitude, keep: 32 },
        Method::Heads { saliency: Saliency::Magnitude, keep: 1 },
    ] {
        assert!(
            matches!(Pruned::new(&source, &method), Err(Error::Unsupported { name, .. }) if name.contains("fused"))
        );
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let source = file(&Tiny::new(LLAMA));
    let saliency = Saliency::Magnitude;
    let weights = |pattern| Method::Weights { saliency, pattern };
    for (option, method) in [
        ("share", weights(Pattern::Rows { share: 1.0 })),
        ("share", weights(Pattern::Rows { share: -0.1 })),
        ("share", weights(Pattern::Matrix { share: f64::NAN })),
        ("keep", weights(Pattern::Groups { keep: 0, of: 4 })),
        ("keep", weights(Pattern::Groups { keep: 5, of: 4 })),
        ("keep", Method::Heads { saliency, keep: 0 }),
        ("keep", Method::Heads { saliency, keep: 3 }),
        ("keep", Method::Channels { saliency, keep: 0 }),
        ("remove", Method::Layers { remove: vec![2] }),
        ("remove", Method::Layers { remove: vec![1, 0] }),
    ] {
        let error = Pruned::new(&source, &method).unwrap_err();
        assert!(matches!(error, Error::Option { option: named, .. } if named == option), "{error}");
    }
    let sevenths = weights(Pattern::Groups { keep: 2, of: 7 });
    assert!(matches!(Pruned::new(&source, &sevenths), Err(Error::Tensor { .. })));
}

#[test]
fn importance_of_another_model_or_of_none_is_refused() {
    let source = file(&Tiny::new(LLAMA));
    let refused = |importance: &Importance| {
        let saliency = Saliency::Wanda(importance);
        let method = Method::Weights { saliency, pattern: Pattern::Rows { share: 0.5 } };
        Pruned::new(&source, &method).unwrap_err().to_string()
    };
    let mut other = Importance::new();
    assert!(refused(&other).contains("has no importance"));

    for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        other.add(&format!("blk.0.{part}.weight"), &[1.0; 65], 1).unwrap();
    }
    assert!(refused(&other).contains("has 64 inputs and an importance of 65"));
}

#[test]
fn weights_that_are_not_numbers_are_an_error_when_they_are_read() {
    let mut tiny = Tiny::new(LLAMA);
    tiny.tensors.get_mut("blk.1.ffn_up.weight").unwrap().1[7] = f32::NAN;
    let source = file(&tiny);
    let weights = |pattern| Method::Weights { saliency: Saliency::Magnitude, pattern };

    let pruned = Pruned::new(&source, &weights(Pattern::Rows { share: 0.5 })).unwrap();
    assert!(matches!(pruned.report(), Err(Error::Tensor { name, .. }) if name == "blk.1.ffn_up.weight"));

    let compared = Pruned::new(&source, &weights(Pattern::Matrix { share: 0.5 }));
    assert!(matches!(compared, Err(Error::Tensor { name, .. }) if name == "blk.1.ffn_up.weight"));
}
