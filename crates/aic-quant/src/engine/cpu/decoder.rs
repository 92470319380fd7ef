use std::sync::Arc;

use super::layer::{Layer, Norm};
use super::matrix::Matrix;
use super::weights::Weights;
use crate::Result;
use crate::engine::config::Config;
use crate::kernels::{Angles, CacheType, InstructionSet, KvStore, LayerShape, Pool};

/// The tensor `token_embd.weight`.
const EMBEDDING: &str = "token_embd";

/// The weights of a decoder-only transformer, or of its last layers, and the threads that compute with them.
pub(in crate::engine) struct Decoder {
    pub(super) pool: Pool,
    pub(super) instructions: InstructionSet,
    /// `None` if the first layers run elsewhere, and the embedding with them.
    embedding: Option<Arc<Matrix>>,
    pub(super) embedding_scale: f32,
    /// Index in the model of the first of the layers.
    pub(super) first: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Norm,
    /// The matrix of the logits; in some models the embedding.
    pub(super) output: Arc<Matrix>,
    pub(super) logit_softcap: Option<f32>,
    rotations: Vec<Rotation>,
    kv_heads: usize,
}

/// One way of turning heads by their positions.
#[derive(PartialEq)]
struct Rotation {
    frequencies: Vec<f64>,
    factor: f32,
}

impl Decoder {
    /// The layers from the one of index `first` on, with all that comes after them; with `first` 0, the whole model.
    pub(in crate::engine) fn load(
        config: &Config,
        mut weights: Weights<'_>,
        first: usize,
        context: usize,
    ) -> Result<Self> {
        let vocabulary = [config.vocabulary, config.hidden];
        let embedding =
            (first == 0).then(|| weights.matrix(EMBEDDING, vocabulary).map(Arc::new)).transpose()?;
        let factors = weights.optional_vector(config.rope_factors(context), config.rope_size / 2)?;
        let mut rotations = Vec::new();
        let mut layers = Vec::with_capacity(config.layers - first);
        for index in first..config.layers {
            let rotation = rotation(&mut rotations, config, index, factors.as_deref());
            layers.push(Layer::load(config, &mut weights, index, rotation)?);
        }
        let norm = Norm::load(config, &mut weights, "output_norm", config.hidden)?;
        let output = match (weights.optional_matrix("output", vocabulary)?, &embedding) {
            (Some(output), _) => Arc::new(output),
            (None, Some(embedding)) => embedding.clone(),
            (None, None) => Arc::new(weights.matrix(EMBEDDING, vocabulary)?),
        };
        let (pool, instructions) = weights.into_kernels();
        Ok(Self {
            pool,
            instructions,
            embedding,
            first,
            embedding_scale: config.embedding_scale,
            layers,
            norm,
            output,
            logit_softcap: config.logit_softcap,
            rotations,
            kv_heads: config.kv_heads,
        })
    }

    pub(in crate::engine) fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Index in the model of the first of its layers.
    #[cfg(feature = "candle")]
    pub(in crate::engine) fn first_layer(&self) -> usize {
        self.first
    }

    /// The core that the thread which runs it should stay on; `None` where threads are free.
    pub(in crate::engine) fn core(&self) -> Option<usize> {
        self.pool.core()
    }

    pub(in crate::engine) fn instructions(&self) -> InstructionSet {
        self.instructions
    }

    /// The matrix with one row for each token.
    ///
    /// # Panics
    /// If the first layers run elsewhere.
    pub(super) fn embedding(&self) -> &Matrix {
        self.embedding.as_ref().expect("a decoder of all layers has the embedding")
    }

    pub(super) fn hidden_size(&self) -> usize {
        self.output.weights.columns()
    }

    /// The angles of `positions`, for each of the rotations.
    pub(super) fn angles(&self, positions: &(impl Iterator<Item = usize> + Clone)) -> Vec<Angles> {
        let angles = |rotation: &Rotation| {
            Angles::new(&rotation.frequencies, f64::from(rotation.factor), positions.clone())
        };
        self.rotations.iter().map(angles).collect()
    }

    /// An empty store of `pages` pages of these types of keys and values.
    pub(super) fn store(&self, pages: usize, [keys, values]: [CacheType; 2]) -> Result<KvStore> {
        let shape = |layer: &Layer| LayerShape {
            kv_heads: self.kv_heads,
            key_size: layer.head_size(),
            value_size: layer.head_size(),
        };
        let shapes: Vec<_> = self.layers.iter().map(shape).collect();
        KvStore::new(&shapes, keys, values, pages)
    }
}

/// The index of the rotation of the layer of this `index` among those known, to which it is added if it is new.
fn rotation(known: &mut Vec<Rotation>, config: &Config, index: usize, factors: Option<&[f32]>) -> usize {
    let (frequencies, factor) = config.inverse_frequencies(index, factors);
    let new = Rotation { frequencies, factor };
    known.iter().position(|rotation| *rotation == new).unwrap_or_else(|| {
        known.push(new);
        known.len() - 1
    })
}
