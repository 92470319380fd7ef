use std::path::Path;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::folder::{Folder, failed};
use super::translator::padded;
use super::{Session, SessionOptions, Tensor, Values};
use crate::{Error, Result};

/// An encoder that makes vectors of texts: sentence-transformers and other models of the BERT kind.
///
/// It is a folder with `model.onnx` (or `onnx/model.onnx`), `config.json` and `tokenizer.json`, and how the tokens' vectors
/// become one in `1_Pooling/config.json`.
///
/// ```no_run
/// use aic_quant::onnx::Embedder;
///
/// let embedder = Embedder::open("all-MiniLM-L6-v2")?;
/// let vectors = embedder.embed(&["a cat", "a kitten"])?;
/// let similarity: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    tokenizer: Tokenizer,
    pooling: Pooling,
    normalized: bool,
    max_tokens: usize,
    batch: usize,
    pad: u32,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean, padding left out.
    #[default]
    Mean,
    /// The first token's.
    First,
    /// The last token's.
    Last,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<u32>,
    model_type: Option<String>,
}

/// `1_Pooling/config.json` of sentence-transformers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_lasttoken: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
}

/// `sentence_bert_config.json` of sentence-transformers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

impl Embedder {
    /// Loads the model in the folder `path` with the default [`SessionOptions`].
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, &SessionOptions::new())
    }

    /// Loads the model in the folder `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing or cannot be read; [`Error::Malformed`] and [`Error::Tokenizer`] if it is not what it
    /// should be; [`Error::Unsupported`] if the tokens' vectors become one in another way than those of [`Pooling`];
    /// those of [`SessionOptions::open`].
    pub fn with_options(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self> {
        let folder = Folder::open(path.as_ref())?;
        let config: Config = folder.settings("config.json")?;
        let sentence: SentenceConfig = folder.settings("sentence_bert_config.json")?;
        Ok(Self {
            session: folder.session("model.onnx", options)?,
            tokenizer: folder.tokenizer()?,
            pooling: pooling(&folder.settings("1_Pooling/config.json")?)?,
            normalized: true,
            max_tokens: sentence.max_seq_length.unwrap_or(usize::MAX).min(config.positions()),
            batch: 32,
            pad: config.pad_token_id.unwrap_or(0),
        })
    }

    /// How the tokens' vectors become one. Defaults to what the folder says, else [`Pooling::Mean`].
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Whether vectors are made one long. Defaults to true.
    #[must_use]
    pub fn normalized(mut self, normalized: bool) -> Self {
        self.normalized = normalized;
        self
    }

    /// Texts that are embedded together; 0 counts as 1. Defaults to 32.
    #[must_use]
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// A vector for each of `texts`, in their order. What a text has beyond the model's longest is cut off.
    ///
    /// # Errors
    /// [`Error::Empty`] if a text has no tokens; [`Error::Tensor`] if the model's output is not one vector for each token or text;
    /// those of [`Session::run`].
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let batches = texts.chunks(self.batch).map(|texts| self.embed_batch(texts));
        Ok(batches.collect::<Result<Vec<_>>>()?.concat())
    }

    fn embed_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<Vec<u32>> =
            texts.iter().map(|text| self.encode(text.as_ref())).collect::<Result<_>>()?;
        let (input, mask) = padded(&ids, self.pad);
        let zeros = Tensor::new("token_type_ids", &input.shape, vec![0_i64; input.values.len()]);
        let wanted = |tensor: &&Tensor| self.session.inputs().iter().any(|input| input.name == tensor.name);
        let outputs = self.session.run([&input, &mask, &zeros].into_iter().filter(wanted))?;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let mut vectors = self.pool(outputs, &lengths)?;
        if self.normalized {
            vectors.iter_mut().for_each(|vector| normalize(vector));
        }
        Ok(vectors)
    }

    /// The tokens of a text, the last kept as its template ends when the middle is cut.
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, true).map_err(failed("encode text"))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.is_empty() {
            return Err(Error::Empty { what: "text" });
        }
        if ids.len() > self.max_tokens {
            let ends = encoding.get_special_tokens_mask().last() == Some(&1);
            let last = ids[ids.len() - 1];
            ids.truncate(self.max_tokens);
            if let Some(end) = ids.last_mut().filter(|_| ends) {
                *end = last;
            }
        }
        Ok(ids)
    }

    fn pool(&self, outputs: Vec<Tensor>, lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        let output = outputs.into_iter().find(|output| matches!(output.values, Values::F32(_)));
        let output = output.ok_or_else(|| Error::MissingTensor { name: "last_hidden_state".to_owned() })?;
        let values = output.values.floats().unwrap_or_default();
        match *output.shape.as_slice() {
            [rows, width, features]
                if rows == lengths.len() && features > 0 && lengths.iter().all(|length| *length <= width) =>
            {
                let rows = values.chunks_exact(width * features).zip(lengths);
                Ok(rows
                    .map(|(row, length)| self.pooling.apply(&row[..length * features], features))
                    .collect())
            }
            [rows, features] if rows == lengths.len() && features > 0 => {
                Ok(values.chunks_exact(features).map(<[f32]>::to_vec).collect())
            }
            _ => {
                let problem = format!("has the shape {:?} for {} texts", output.shape, lengths.len());
                Err(Error::tensor(output.name, problem))
            }
        }
    }
}

impl Config {
    /// Tokens that the positions reach for. RoBERTa counts its positions from after the padding token's.
    fn positions(&self) -> usize {
        let offset = match self.model_type.as_deref() {
            Some("roberta" | "xlm-roberta" | "camembert" | "mpnet") => {
                self.pad_token_id.unwrap_or(1) as usize + 1
            }
            _ => 0,
        };
        self.max_position_embeddings.map_or(usize::MAX, |positions| positions.saturating_sub(offset).max(1))
    }
}

impl Pooling {
    /// One vector of those of a text's tokens, at least one.
    fn apply(self, tokens: &[f32], features: usize) -> Vec<f32> {
        match self {
            Self::First => tokens[..features].to_vec(),
            Self::Last => tokens[tokens.len() - features..].to_vec(),
            Self::Mean => {
                let mut mean = vec![0.0; features];
                for token in tokens.chunks_exact(features) {
                    mean.iter_mut().zip(token).for_each(|(mean, value)| *mean += value);
                }
                let count = (tokens.len() / features) as f32;
                mean.iter_mut().for_each(|mean| *mean /= count);
                mean
            }
        }
    }
}

fn pooling(config: &PoolingConfig) -> Result<Pooling> {
    match config {
        PoolingConfig { pooling_mode_mean_tokens: true, .. } => Ok(Pooling::Mean),
        PoolingConfig { pooling_mode_cls_token: true, .. } => Ok(Pooling::First),
        PoolingConfig { pooling_mode_lasttoken: true, .. } => Ok(Pooling::Last),
        PoolingConfig { pooling_mode_max_tokens: true, .. }
        | PoolingConfig { pooling_mode_mean_sqrt_len_tokens: true, .. }
        | PoolingConfig { pooling_mode_weightedmean_tokens: true, .. } => Err(Error::Unsupported {
            what: "pooling",
            name: "1_Pooling/config.json".to_owned(),
            supported: "mean, cls and last token",
        }),
        _ => Ok(Pooling::default()),
    }
}

/// Makes a vector one long; zeros stay.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_tokens_become_one() {
        let tokens = [1.0, 2.0, 3.0, 6.0];
        assert_eq!(Pooling::Mean.apply(&tokens, 2), [2.0, 4.0]);
        assert_eq!(Pooling::First.apply(&tokens, 2), [1.0, 2.0]);
        assert_eq!(Pooling::Last.apply(&tokens, 2), [3.0, 6.0]);
    }

    #[test]
    fn normalized_vectors_are_one_long_and_zeros_stay() {
        let (mut vector, mut zeros) = ([3.0, 4.0], [0.0; 2]);
        normalize(&mut vector);
        normalize(&mut zeros);
        assert_eq!((vector, zeros), ([0.6, 0.8], [0.0; 2]));
    }
}
