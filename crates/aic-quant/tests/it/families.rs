//! Small random models of every family say what PyTorch says about them. `goldens/models/make.py` makes them.
use std::path::{Path, PathBuf};

use aic_quant::{
    DType, GenerateOptions, HuggingFace, Model, ModelOptions, TensorSource, decode, gguf, safetensors,
};

/// Models in GGUF.
const FAMILIES: [&str; 9] =
    ["llama2", "llama3", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3"];
/// Models as Hugging Face stores them; the last is of a kind that GGUF has no words for.
const FOLDERS: [&str; 4] = ["llama3", "phi3", "gemma3", "gemma2-scaled"];
/// A context that every text fits, longer than all windows and original contexts.
const LONG: usize = 256;
/// The length of the short text, shorter than all original contexts.
const SHORT: usize = 32;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models").join(name)
}

fn load(options: ModelOptions, name: &str) -> Model {
    options.open(path(name)).unwrap()
}

/// What `transformers` says about a model.
struct Golden(safetensors::File);

impl Golden {
    fn open(name: &str) -> Self {
        Self(safetensors::File::open(path(&format!("{name}.safetensors"))).unwrap())
    }

    fn tokens(&self, name: &str) -> Vec<u32> {
        let tensor = self.0.tensors().iter().find(|tensor| tensor.name == name).unwrap();
        let bytes = self.0.read(tensor).unwrap();
        bytes.chunks_exact(4).map(|token| u32::from_le_bytes(token.try_into().unwrap())).collect()
    }

    /// The logits after the last tokens of a text.
    fn logits(&self, text: &str) -> Vec<Vec<f32>> {
        let name = format!("{text}.logits");
        let tensor = self.0.tensors().iter().find(|tensor| tensor.name == name).unwrap();
        let values = decode(&self.0.read(tensor).unwrap(), DType::F32).unwrap();
        values.chunks(tensor.row_length()).map(<[f32]>::to_vec).collect()
    }
}

fn logits(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    let keep = |_, row: &[f32]| {
        rows.push(row.to_vec());
        Ok(())
    };
    model.predict(tokens, keep).unwrap();
    rows
}

/// How far logits are from those expected.
#[derive(Debug)]
struct Distance {
    /// The largest difference of any, in standard deviations of those expected.
    worst: f64,
    /// The mean divergence of the distributions, in nats.
    kl: f64,
}

impl Distance {
    fn new(expected: &[Vec<f32>], actual: &[Vec<f32>]) -> Self {
        assert_eq!(expected.len(), actual.len());
        let all: Vec<f64> = expected.iter().flatten().map(|x| f64::from(*x)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        let pairs = all.iter().zip(actual.iter().flatten());
        let worst = pairs.map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max) / deviation;
        let kl = expected.iter().zip(actual).map(|(p, q)| divergence(p, q)).sum::<f64>();
        Self { worst, kl: kl / expected.len() as f64 }
    }
}

/// The Kullback–Leibler divergence of the distribution of `actual` logits from that of `expected` ones.
fn divergence(expected: &[f32], actual: &[f32]) -> f64 {
    let log_shares = |logits: &[f32]| -> Vec<f64> {
        let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let total: f64 = logits.iter().map(|x| (f64::from(*x) - highest).exp()).sum();
        logits.iter().map(|x| f64::from(*x) - highest - total.ln()).collect()
    };
    log_shares(expected).iter().zip(log_shares(actual)).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// That the model says what `transformers` says about each of `texts`, within the rounding of F16: logits within 2 % of their
/// spread, distributions within 10⁻⁵ nats.
fn assert_agrees(model: &Model, name: &str, texts: &[&str]) {
    let golden = Golden::open(name);
    for text in texts {
        let expected = golden.logits(text);
        let rows = logits(model, &golden.tokens(&format!("{text}.tokens")));
        let distance = Distance::new(&expected, &rows[rows.len() - expected.len()..]);
        assert!(distance.worst <= 0.02 && distance.kl <= 1e-5, "{name}, {text} text: {distance:?}");
    }
}

fn best(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32
}

#[test]
fn logits_of_every_family_are_those_of_transformers() {
    for family in FAMILIES {
        let model = load(Model::options().max_context(LONG), &format!("{family}.gguf"));
        assert_agrees(&model, family, &["text", "long"]);
    }
}

#[test]
fn model_of_a_short_context_has_the_rotation_for_it() {
    for family in FAMILIES {
        let model = load(Model::options().max_context(SHORT), &format!("{family}.gguf"));
        assert_agrees(&model, family, &["short"]);
    }
}

#[test]
fn folder_of_every_family_is_the_same_model() {
    for family in FOLDERS {
        let model = load(Model::options().max_context(LONG), family);
        assert_agrees(&model, family, &["text", "long"]);
    }
}

#[test]
fn folder_and_gguf_file_have_the_same_tensors_in_the_same_order_of_rows() {
    for family in FOLDERS.into_iter().filter(|family| FAMILIES.contains(family)) {
        let folder = HuggingFace::open(path(family)).unwrap();
        let file = gguf::File::open(path(&format!("{family}.gguf"))).unwrap();
        assert_eq!(folder.tensors().len(), file.tensors().len(), "{family}");
        for tensor in file.tensors() {
            let twin = folder.tensors().iter().find(|twin| twin.name == tensor.name).unwrap();
            let numbers = |source: &dyn TensorSource, tensor| {
                decode(&source.read(tensor).unwrap(), tensor.dtype).unwrap()
            };
            let pairs = numbers(&file, tensor).into_iter().zip(numbers(&folder, twin));
            // Factors are computed here and there, all else is copied.
            let tolerance = if tensor.name.starts_with("rope") { 1e-5 } else { 0.0 };
            assert_eq!(tensor.shape, twin.shape, "{family}: {}", tensor.name);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= tolerance * a), "{family}: {}", tensor.name);
        }
    }
}

#[test]
fn greedy_continuation_is_that_of_transformers_token_by_token_and_at_once() {
    let text = "hello well, the quick brown fox jumps over 13 lazy dogs while";
    let options = GenerateOptions { max_tokens: 16, temperature: 0.0, ..GenerateOptions::default() };
    for family in FAMILIES {
        let model = load(Model::options().max_context(LONG), &format!("{family}.gguf"));
        let golden = Golden::open(family);
        let (prompt, expected) = (golden.tokens("text.tokens"), golden.tokens("text.continuation"));
        assert_eq!(model.tokenize(text).unwrap(), prompt, "{family}");

        let generated: Vec<u32> =
            model.complete(text, &options).unwrap().map(|piece| piece.unwrap().token).collect();
        let read: Vec<u32> = logits(&model, &[prompt.as_slice(), &expected[..15]].concat())
            [prompt.len() - 1..]
            .iter()
            .map(|row| best(row))
            .collect();

        assert_eq!(generated, expected, "{family}, generated");
        assert_eq!(read, expected, "{family}, read");
    }
}

/// The weights of `source` in full precision, as a file.
fn in_full(source: &dyn TensorSource) -> Vec<u8> {
    let mut writer = gguf::Writer::new(source.metadata().clone());
    for tensor in source.tensors() {
        writer.tensor(&tensor.name, &tensor.shape, DType::F32).unwrap();
    }
    let numbers = |tensor: &aic_quant::TensorInfo| {
        let stored = source.tensors().iter().find(|stored| stored.name == tensor.name).unwrap();
        let numbers = decode(&source.read(stored)?, stored.dtype)?;
        Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    };
    writer.to_vec(numbers).unwrap()
}

/// What remains of the error of a type when the weights are the same is the rounding of what they are multiplied with: eight
/// bits for each block of 32 numbers or more, here in every product of a network that was drawn to amplify differences.
#[test]
fn quantized_model_says_what_the_same_weights_in_full_precision_say() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    for (family, dtype) in FAMILIES
        .iter()
        .flat_map(|family| [DType::Q8_0, DType::Q4_0, DType::Q5_0, DType::Q4_K].map(|dtype| (family, dtype)))
    {
        let source = gguf::File::open(path(&format!("{family}.gguf"))).unwrap();
        let plan = aic_quant::Recipe::uniform(dtype).plan(&source, None).unwrap();
        aic_quant::Quantizer::new(&plan)
            .run(&source, &target, |_| std::ops::ControlFlow::Continue(()))
            .unwrap();
        let quantized = gguf::File::open(&target).unwrap();
        let golden = Golden::open(family);
        let tokens = golden.tokens("text.tokens");

        let expected = logits(&Model::from_bytes(in_full(&quantized)).unwrap(), &tokens);
        let actual = logits(&Model::open(&target).unwrap(), &tokens);
        let distance = Distance::new(&expected, &actual);
        let own_error = Distance::new(&golden.logits("text"), &expected[expected.len() - 12..]);

        assert!(
            distance.kl <= own_error.kl.max(0.02),
            "{family} in {dtype}: {distance:?}, own error {own_error:?}"
        );
    }
}
