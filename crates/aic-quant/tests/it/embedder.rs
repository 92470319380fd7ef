//! Texts become the vectors that PyTorch makes of them. `goldens/models/make.py` makes the models.
use std::path::{Path, PathBuf};

use aic_quant::{Embedder, Error, Model};

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    tokens: Vec<u32>,
    mean: Vec<f32>,
    first: Vec<f32>,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models").join(name)
}

fn goldens() -> Vec<Golden> {
    serde_json::from_str(&std::fs::read_to_string(path("bert.json")).unwrap()).unwrap()
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-5, "{worst}");
}

#[test]
fn texts_become_the_vectors_of_pytorch() {
    let goldens = goldens();
    let texts: Vec<&str> = goldens.iter().map(|golden| golden.text.as_str()).collect();
    for name in ["bert.gguf", "bert"] {
        let embedder = Embedder::open(path(name)).unwrap();

        for golden in &goldens {
            assert_eq!(embedder.tokenize(&golden.text).unwrap(), golden.tokens, "{name}: {}", golden.text);
        }
        let vectors = embedder.embed(&texts).unwrap();

        assert_eq!((embedder.dimensions(), embedder.max_tokens()), (64, 48));
        for (vector, golden) in vectors.iter().zip(&goldens) {
            assert_close(vector, if name == "bert" { &golden.first } else { &golden.mean });
        }
    }
}

#[test]
fn text_without_tokens_or_with_too_many_is_an_error() {
    let embedder = Embedder::open(path("bert")).unwrap();

    let long = "fox ".repeat(60);
    assert!(matches!(embedder.embed(&["a", &long]), Err(Error::PromptTooLong { tokens: 60.., limit: 48 })));
    assert_eq!(embedder.embed(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn decoder_embeds_as_the_model_does() {
    let (embedder, model) =
        (Embedder::open(path("qwen3.gguf")).unwrap(), Model::open(path("qwen3.gguf")).unwrap());

    let vectors = embedder.embed(&["hello", "well well"]).unwrap();

    assert_eq!(vectors, [model.embed("hello").unwrap(), model.embed("well well").unwrap()]);
    assert_eq!((embedder.dimensions(), embedder.max_tokens()), (64, model.max_context()));
}
