//! A student that learns from a teacher against the same student that learns from the same texts alone.
use std::ops::ControlFlow;
use std::path::Path;

use aic_quant::distill::{Distillation, Objective};
use aic_quant::gguf::{File, Metadata, Writer};
use aic_quant::{DType, Model, encode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const WORDS: usize = 24;
const ALONE: Objective = Objective { logits: 0.0, hidden: 0.0, text: 1.0 };
const TAUGHT: Objective = Objective { logits: 1.0, hidden: 0.0, text: 0.0 };

/// Texts in which each word has one usual follower, one occasional and one rare.
fn texts(count: usize, seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let follower = |word: usize, chance: f64| match chance {
        0.0..0.6 => (word * 5 + 7) % WORDS,
        0.6..0.9 => (word * 7 + 3) % WORDS,
        _ => (word * 11 + 1) % WORDS,
    };
    let text = |_| {
        let mut words = vec![random.random_range(0..WORDS)];
        for _ in 0..15 {
            words.push(follower(words[words.len() - 1], random.random()));
        }
        words.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
    };
    (0..count).map(text).collect()
}

fn metadata() -> Metadata {
    let words: serde_json::Map<_, _> = (0..WORDS).map(|word| (format!("w{word}"), word.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "unk_token": "w0", "vocab": words},
        "pre_tokenizer": {"type": "Whitespace"},
    });
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.name", "tiny");
    for (key, value) in [
        ("block_count", 2_u32),
        ("context_length", 64),
        ("embedding_length", 32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
    ] {
        metadata.insert(format!("llama.{key}"), value);
    }
    metadata.insert("tokenizer.huggingface.json", tokenizer.to_string());
    metadata
}

/// A model that knows nothing yet.
fn random_model() -> File {
    let mut writer = Writer::new(metadata());
    writer.tensor("token_embd.weight", &[WORDS, 32], DType::F32).unwrap();
    writer.tensor("output_norm.weight", &[32], DType::F32).unwrap();
    for layer in 0..2 {
        for (part, shape) in [
            ("attn_norm", vec![32]),
            ("attn_q", vec![32, 32]),
            ("attn_k", vec![16, 32]),
            ("attn_v", vec![16, 32]),
            ("attn_output", vec![32, 32]),
            ("ffn_norm", vec![32]),
            ("ffn_gate", vec![64, 32]),
            ("ffn_up", vec![64, 32]),
            ("ffn_down", vec![32, 64]),
        ] {
            writer.tensor(format!("blk.{layer}.{part}.weight"), &shape, DType::F32).unwrap();
        }
    }
    let mut random = StdRng::seed_from_u64(1);
    let mut draw = |shape: &[usize]| match shape {
        [length] => vec![1.0; *length],
        _ => (0..shape.iter().product()).map(|_| (random.random::<f32>() - 0.5) * 0.4).collect(),
    };
    File::from_bytes(writer.to_vec(|tensor| encode(&draw(&tensor.shape), tensor.dtype)).unwrap()).unwrap()
}

fn distil(distillation: Distillation<'_>, texts: &[String], target: &Path) -> Model {
    let options = distillation.batch_tokens(512).warm_up(0.1).learning_rate(1e-2).seed(5);
    let distilled = options.run(texts, target, |_| ControlFlow::Continue(())).unwrap();
    assert!(distilled.finished);
    Model::open(target).unwrap()
}

/// The mean divergence of the student's distributions of the next token from the teacher's.
fn divergence(teacher: &Model, student: &Model, texts: &[String]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for text in texts {
        let tokens = teacher.tokenize(text).unwrap();
        let mut wanted = Vec::new();
        let keep = |_, logits: &[f32]| {
            wanted.push(log_softmax(logits));
            Ok(())
        };
        teacher.predict(&tokens, keep).unwrap();
        let add = |position: usize, logits: &[f32]| {
            let pairs = wanted[position].iter().zip(log_softmax(logits));
            sum += pairs.map(|(wanted, actual)| wanted.exp() * (wanted - actual)).sum::<f64>();
            count += 1;
            Ok(())
        };
        student.predict(&tokens, add).unwrap();
    }
    sum / f64::from(count)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    logits.iter().map(|logit| f64::from(*logit) - total.ln()).collect()
}

fn perplexity(model: &Model, texts: &[String]) -> f64 {
    let scores: Vec<_> = texts.iter().map(|text| model.score(text).unwrap()).collect();
    let tokens: usize = scores.iter().map(|score| score.tokens).sum();
    (scores.iter().map(|score| score.negative_log_likelihood).sum::<f64>() / tokens as f64).exp()
}

#[test]
fn student_with_a_teacher_beats_the_same_student_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let untrained = random_model();
    let all_layers = Distillation::new(&untrained).layers(2).objective(ALONE).steps(300);
    let teacher = distil(all_layers, &texts(400, 1), &path("teacher"));
    let source = File::open(path("teacher")).unwrap();
    let (few, unseen) = (texts(12, 2), texts(60, 3));

    let student =
        |objective| Distillation::new(&source).layers(1).feed_forward(32).objective(objective).steps(150);
    let taught = distil(student(TAUGHT), &few, &path("taught"));
    let alone = distil(student(ALONE), &few, &path("alone"));

    let perplexities = [&teacher, &taught, &alone].map(|model| perplexity(model, &unseen));
    assert!(perplexities[0] < 3.0 && perplexities.is_sorted(), "{perplexities:?}");
    let divergences = [&taught, &alone].map(|student| divergence(&teacher, student, &unseen));
    assert!(divergences[0] < 0.5 * divergences[1], "{divergences:?}");
}

#[test]
fn damaged_model_recovers_from_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let untrained = random_model();
    let all_layers = Distillation::new(&untrained).layers(2).objective(ALONE).steps(300);
    let teacher = distil(all_layers, &texts(400, 1), &path("teacher"));
    let source = File::open(path("teacher")).unwrap();
    let mut writer = Writer::new(source.metadata().clone());
    for tensor in source.tensors() {
        writer.tensor(&tensor.name, &tensor.shape, tensor.dtype).unwrap();
    }
    // The first layer answers nothing any more.
    let damaged = writer.to_vec(|tensor| match tensor.name.as_str() {
        "blk.0.ffn_down.weight" | "blk.0.attn_output.weight" => Ok(vec![0; tensor.bytes as usize]),
        name => source.read(source.tensor(name).unwrap()),
    });
    let damaged = File::from_bytes(damaged.unwrap()).unwrap();
    let (few, unseen) = (texts(60, 2), texts(60, 3));

    let recovery = Distillation::new(&source).student(&damaged).steps(100);
    let recovered = distil(recovery, &few, &path("recovered"));

    let before = Model::options().load(&damaged).unwrap();
    let divergences = [&before, &recovered].map(|student| divergence(&teacher, student, &unseen));
    assert!(divergences[1] < 0.2 * divergences[0], "{divergences:?}");
}
