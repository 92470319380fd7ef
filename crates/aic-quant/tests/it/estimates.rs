//! Estimates of the memory that models need, beside what they take.
//!
//! Each model is loaded in a process of its own, this program started once more, which fills the cache to its end with as many
//! answers at once as the model is served with.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aic_quant::gguf::{File, Metadata, Writer};
use aic_quant::{
    CacheType, DType, Footprint, GenerateOptions, Model, ModelOptions, ServeOptions, TensorInfo, encode,
    footprint,
};
use serde::{Deserialize, Serialize};

#[path = "../fixtures/resident.rs"]
mod resident;

/// The test whose process measures.
const TEST: &str = "estimates::estimates_are_near_what_models_take";
/// What it is told to measure.
const CASE: &str = "AIC_TEST_ESTIMATE";
/// Starts the line with what was measured.
const MARK: &str = "resident bytes: ";

/// A model, and how it is loaded.
#[derive(Clone, Serialize, Deserialize)]
struct Case {
    name: String,
    path: PathBuf,
    /// To quantize to while loading.
    dtype: Option<String>,
    cache: String,
    context: usize,
    /// Answers at once.
    answers: usize,
}

impl Case {
    fn new(name: &str, path: impl Into<PathBuf>) -> Self {
        let (dtype, cache) = (None, "f16".to_owned());
        Self { name: name.to_owned(), path: path.into(), dtype, cache, context: 256, answers: 2 }
    }

    fn options(&self) -> ModelOptions {
        let options = Model::options()
            .threads(2)
            .max_context(self.context)
            .cache_type(self.cache.parse::<CacheType>().unwrap())
            .serving(ServeOptions { running: self.answers, ..ServeOptions::default() });
        match &self.dtype {
            None => options,
            Some(dtype) => options.dtype(dtype.parse::<DType>().unwrap()),
        }
    }

    fn estimate(&self) -> Footprint {
        footprint(&File::open(&self.path).unwrap(), &self.options()).unwrap()
    }

    /// Bytes this process takes for the model, at most, once it is loaded.
    fn take(&self) -> u64 {
        let before = resident::bytes();
        let model = self.options().open(&self.path).unwrap();
        let filled = AtomicBool::new(false);
        let most = thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut most = resident::bytes();
                while !filled.load(Ordering::Relaxed) {
                    most = most.max(resident::bytes());
                    thread::sleep(Duration::from_millis(1));
                }
                most
            });
            self.fill(&model);
            filled.store(true, Ordering::Relaxed);
            watch.join().unwrap()
        });
        most.max(resident::bytes()) - before
    }

    /// Answers that fill the cache together.
    fn fill(&self, model: &Model) {
        let (share, vocabulary) = (self.context / self.answers, model.info().vocabulary);
        let options = GenerateOptions { max_tokens: 8, ignore_end: true, ..GenerateOptions::default() };
        let start = |answer: usize| {
            let prompt: Vec<u32> =
                (0..share - 8).map(|at| ((at * at + 31 * answer) % vocabulary) as u32).collect();
            model.complete_tokens(&prompt, &options).unwrap()
        };
        let answers: Vec<_> = (0..self.answers).map(start).collect();
        answers.into_iter().for_each(|answer| assert_eq!(answer.filter(Result::is_ok).count(), 8));
    }

    /// Bytes a process of its own takes for the model.
    fn measure(&self) -> u64 {
        let output = Command::new(env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(CASE, serde_json::to_string(self).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let measured = said.lines().find_map(|line| line.split_once(MARK));
        measured
            .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
            .1
            .trim()
            .parse()
            .unwrap()
    }
}

/// The measures of a model made up for the test, whose heads have 64 numbers.
struct Shape {
    architecture: &'static str,
    hidden: usize,
    feed_forward: usize,
    layers: usize,
    kv_heads: usize,
    vocabulary: usize,
}

const HEAD: usize = 64;

impl Shape {
    /// Writes a model of this shape whose matrices have `dtype`, and random numbers in them.
    fn write(&self, dtype: DType, path: &Path) {
        let mut writer = Writer::new(self.metadata());
        for (name, shape) in self.tensors() {
            writer.tensor(name, &shape, if shape.len() == 1 { DType::F32 } else { dtype }).unwrap();
        }
        writer.save(path, rows).unwrap();
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, wide, keys) = (self.hidden, self.feed_forward, self.kv_heads * HEAD);
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![self.vocabulary, hidden]),
            ("output_norm.weight".to_owned(), vec![hidden]),
        ];
        for layer in 0..self.layers {
            let mut parts = vec![
                ("attn_norm.weight", vec![hidden]),
                ("attn_q.weight", vec![hidden, hidden]),
                ("attn_k.weight", vec![keys, hidden]),
                ("attn_v.weight", vec![keys, hidden]),
                ("attn_output.weight", vec![hidden, hidden]),
                ("ffn_norm.weight", vec![hidden]),
                ("ffn_gate.weight", vec![wide, hidden]),
                ("ffn_up.weight", vec![wide, hidden]),
                ("ffn_down.weight", vec![hidden, wide]),
            ];
            if self.architecture == "qwen2" {
                parts.extend([
                    ("attn_q.bias", vec![hidden]),
                    ("attn_k.bias", vec![keys]),
                    ("attn_v.bias", vec![keys]),
                ]);
            }
            tensors.extend(parts.into_iter().map(|(part, shape)| (format!("blk.{layer}.{part}"), shape)));
        }
        tensors
    }

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", self.architecture);
        let mut number =
            |name: &str, value: usize| metadata.insert(format!("{}.{name}", self.architecture), value as u32);
        number("block_count", self.layers);
        number("context_length", 8192);
        number("embedding_length", self.hidden);
        number("feed_forward_length", self.feed_forward);
        number("attention.head_count", self.hidden / HEAD);
        number("attention.head_count_kv", self.kv_heads);
        metadata.insert(format!("{}.attention.layer_norm_rms_epsilon", self.architecture), 1e-5_f32);
        metadata.insert(format!("{}.rope.freq_base", self.architecture), 500_000.0_f32);
        self.describe_tokenizer(&mut metadata);
        metadata
    }

    /// A byte-level vocabulary in which each token after the first letters is made of two others.
    fn describe_tokenizer(&self, metadata: &mut Metadata) {
        let letters: Vec<String> = (b'!'..=b'~').map(|letter| char::from(letter).to_string()).collect();
        let mut tokens = letters.clone();
        let mut merges = Vec::new();
        let mut longer = 0;
        while tokens.len() < self.vocabulary {
            let (left, right) = (&tokens[longer / letters.len()], &letters[longer % letters.len()]);
            merges.push(format!("{left} {right}"));
            tokens.push(format!("{left}{right}"));
            longer += 1;
        }
        metadata.insert("tokenizer.ggml.model", "gpt2");
        metadata.insert("tokenizer.ggml.pre", "llama-bpe");
        metadata.insert("tokenizer.ggml.tokens", tokens);
        metadata.insert("tokenizer.ggml.merges", merges);
        metadata.insert("tokenizer.ggml.eos_token_id", 0_u32);
    }
}

/// Some random rows, over and over; norms of ones.
fn rows(tensor: &TensorInfo) -> aic_quant::Result<Vec<u8>> {
    let length = tensor.row_length();
    if tensor.shape.len() == 1 {
        return encode(&vec![1.0; length], tensor.dtype);
    }
    let scale = (length as f32).sqrt().recip();
    let some: Vec<f32> = (0..4 * length).map(|i| ((i * 7919 % 1009) as f32 / 504.0 - 1.0) * scale).collect();
    Ok(encode(&some, tensor.dtype)?.into_iter().cycle().take(tensor.bytes as usize).collect())
}

/// The models of the crate's tests, a fraction of a megabyte each, and the demonstration model.
fn small() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let families = ["llama2", "llama3", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3"];
    let goldens =
        families.map(|name| Case::new(name, folder.join(format!("tests/goldens/models/{name}.gguf"))));
    let demo = Case { context: 512, ..Case::new("demo", folder.join("../aic/models/aic-demo-f16.gguf")) };
    goldens.into_iter().chain([demo]).collect()
}

const WIDE: Shape = Shape {
    architecture: "llama",
    hidden: 1024,
    feed_forward: 4096,
    layers: 4,
    kv_heads: 4,
    vocabulary: 16_000,
};
const DEEP: Shape = Shape {
    architecture: "qwen2",
    hidden: 768,
    feed_forward: 2048,
    layers: 13,
    kv_heads: 12,
    vocabulary: 8_000,
};
const WORDY: Shape = Shape {
    architecture: "llama",
    hidden: 512,
    feed_forward: 1536,
    layers: 2,
    kv_heads: 8,
    vocabulary: 128_000,
};

/// Models of 50 MB and more, each with its own ratio of weights, cache, intermediate results and vocabulary.
fn large() -> Vec<(&'static Shape, DType, Case)> {
    let case = |name: &str| Case { answers: 4, context: 512, ..Case::new(name, "") };
    let cached = |cache: &str, case: Case| Case { cache: cache.to_owned(), ..case };
    vec![
        (&WIDE, DType::F16, case("wide f16")),
        (&WIDE, DType::Q8_0, case("wide q8_0")),
        (&WIDE, DType::Q6_K, Case { context: 1024, answers: 8, ..case("wide q6_k") }),
        (&WIDE, DType::F16, Case { dtype: Some("Q8_0".to_owned()), ..case("wide f16 as q8_0") }),
        (&DEEP, DType::Q8_0, case("deep q8_0")),
        (&DEEP, DType::Q4_K, Case { context: 1024, ..case("deep q4_k") }),
        (&DEEP, DType::Q5_0, Case { context: 1024, ..cached("q8_0", case("deep q5_0, cache q8_0")) }),
        (&DEEP, DType::Q8_0, cached("q4_0", case("deep q8_0, cache q4_0"))),
        (&WORDY, DType::Q8_0, case("wordy q8_0")),
        (&WORDY, DType::Q8_0, Case { answers: 32, context: 2048, ..case("wordy q8_0, 32 answers") }),
    ]
}

/// How far the estimate is from what was measured, as a share of that; prints a line of the table.
fn error(case: &Case) -> (f64, i64) {
    const MB: f64 = 1e6;
    let (estimate, measured) = (case.estimate(), case.measure());
    let difference = estimate.total_bytes() as i64 - measured as i64;
    let share = difference as f64 / measured as f64;
    println!(
        "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:+.1} % |",
        case.name,
        estimate.weights_bytes as f64 / MB,
        estimate.cache_bytes as f64 / MB,
        estimate.working_bytes as f64 / MB,
        estimate.total_bytes() as f64 / MB,
        measured as f64 / MB,
        100.0 * share,
    );
    (share, difference)
}

#[test]
fn estimates_are_near_what_models_take() {
    if let Ok(case) = env::var(CASE) {
        return println!("{MARK}{}", serde_json::from_str::<Case>(&case).unwrap().take());
    }
    println!(
        "| model | weights, MB | cache | working | estimate | measured | error |\n|---|---|---|---|---|---|---|"
    );
    for case in small() {
        let (_, difference) = error(&case);
        assert!(difference.abs() < 4 << 20, "{}: {difference} bytes", case.name);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut shares: Vec<f64> = Vec::new();
    for (shape, dtype, case) in large() {
        let path = folder.path().join("model.gguf");
        shape.write(dtype, &path);
        assert!(path.metadata().unwrap().len() > 50 << 20, "{}", case.name);
        shares.push(error(&Case { path, ..case }).0.abs());
    }
    shares.sort_by(f64::total_cmp);
    assert!(shares[shares.len() / 2] <= 0.05, "{shares:?}");
    assert!(shares[shares.len() - 1] <= 0.10, "{shares:?}");
}
