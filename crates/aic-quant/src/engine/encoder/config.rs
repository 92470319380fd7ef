use crate::engine::config::{EMBEDDING, Keys, architecture_name, layers};
use crate::{Error, Result, TensorSource};

/// The family of GGUF that is run.
const BERT: &str = "bert";

/// An encoder's measures, read from its metadata and checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) feed_forward: usize,
    pub(super) heads: usize,
    pub(super) epsilon: f32,
    /// Positions there are embeddings for.
    pub(super) context: usize,
    pub(super) vocabulary: usize,
    pub(super) pooling: Pooling,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    Mean,
    /// The vector of the first token.
    First,
    /// The vector of the last token.
    Last,
}

impl Config {
    /// Whether the model is an encoder at all.
    pub(super) fn describes(source: &dyn TensorSource) -> Result<bool> {
        Ok(architecture_name(source.metadata())? == BERT)
    }

    pub(super) fn new(source: &dyn TensorSource) -> Result<Self> {
        let keys = Keys { metadata: source.metadata(), architecture: BERT };
        let missing = || Error::MissingTensor { name: EMBEDDING.to_owned() };
        let embedding =
            source.tensors().iter().find(|tensor| tensor.name == EMBEDDING).ok_or_else(missing)?;
        let config = Self {
            layers: layers(source, &keys)?,
            hidden: keys.size("embedding_length")?,
            feed_forward: keys.size("feed_forward_length")?,
            heads: keys.size("attention.head_count")?,
            epsilon: keys.positive("attention.layer_norm_epsilon")?.unwrap_or(1e-12) as f32,
            context: keys.size("context_length")?,
            vocabulary: embedding.shape.first().copied().unwrap_or(0),
            pooling: Pooling::new(&keys)?,
        };
        if !config.hidden.is_multiple_of(config.heads) {
            let expected = format!("a divisor of {}", config.hidden);
            return Err(keys.wrong("attention.head_count", config.heads, &expected));
        }
        Ok(config)
    }
}

impl Pooling {
    /// The mean, as sentence-transformers has it, where the file does not say.
    fn new(keys: &Keys<'_>) -> Result<Self> {
        match keys.count("pooling_type")? {
            None | Some(0 | 1) => Ok(Self::Mean),
            Some(2) => Ok(Self::First),
            Some(3) => Ok(Self::Last),
            Some(other) => {
                Err(keys.wrong("pooling_type", other, "0 or 1 (mean), 2 (first token) or 3 (last token)"))
            }
        }
    }

    /// One vector, of length 1, of `states`, `[tokens, hidden]`.
    pub(super) fn pool(self, states: &[f32], hidden: usize) -> Vec<f32> {
        let mut sum = vec![0.0_f64; hidden];
        let rows = states.chunks_exact(hidden);
        let chosen = match self {
            Self::Mean => rows.len(),
            Self::First | Self::Last => 1,
        };
        let skipped = if self == Self::Last { rows.len().saturating_sub(1) } else { 0 };
        for row in rows.skip(skipped).take(chosen) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        // The number of rows does not matter once the length is 1.
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        sum.iter().map(|x| (x / length) as f32).collect()
    }
}
