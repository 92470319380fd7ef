use aic_quant::Error;
use aic_quant::onnx::{Embedder, Pooling};
use serde::Deserialize;

use super::expected::{expected, folder};
use super::model::runtimes;

#[derive(Deserialize)]
struct Case {
    text: String,
    mean: Vec<f32>,
    cls: Vec<f32>,
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_original_whatever_they_are_batched_with() {
    let cases: Vec<Case> = expected("bert");
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    for options in runtimes() {
        let open = || Embedder::with_options(folder("bert"), &options).unwrap();
        for batch in [1, 3] {
            let mean = open().batch(batch).embed(&texts).unwrap();
            let first = open().batch(batch).pooling(Pooling::First).embed(&texts).unwrap();
            for ((case, mean), first) in cases.iter().zip(&mean).zip(&first) {
                assert!(worst(mean, &case.mean) < 2e-6, "{options:?}: {}", case.text);
                assert!(worst(first, &case.cls) < 2e-6, "{options:?}: {}", case.text);
            }
        }
    }
}

#[test]
fn vectors_as_they_are_have_another_length_but_the_same_direction() {
    let embedder = Embedder::with_options(folder("bert"), &runtimes()[0]).unwrap();
    let unit = embedder.embed(&["the sea"]).unwrap().remove(0);
    let vector = embedder.normalized(false).embed(&["the sea"]).unwrap().remove(0);
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((length - 1.0).abs() > 0.1, "{length}");
    let scaled: Vec<f32> = vector.iter().map(|value| value / length).collect();
    assert!(worst(&unit, &scaled) < 1e-6);
}

#[test]
fn long_text_is_cut_off_at_the_positions() {
    let embedder = Embedder::with_options(folder("bert"), &runtimes()[0]).unwrap();
    let (long, longer) = ("sea ".repeat(60), "sea ".repeat(90));
    assert_eq!(embedder.embed(&[&long]).unwrap(), embedder.embed(&[&longer]).unwrap());
    let none: [&str; 0] = [];
    assert!(embedder.embed(&none).unwrap().is_empty());
}

#[test]
fn folder_that_is_none_is_an_error() {
    assert!(matches!(Embedder::open("/nowhere"), Err(Error::Io { .. })));
}
