use serde::{Deserialize, Serialize};

use crate::NanoUsd;

/// Texts to be turned into vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedRequest {
    /// The texts, each of which becomes one vector.
    pub inputs: Vec<String>,
    /// The model asked for: `model` or `provider/model`. `None` takes the router's first embedding model.
    pub model: Option<String>,
    /// The length of the vectors, for models that can shorten them.
    pub dimensions: Option<u32>,
}

impl EmbedRequest {
    /// Asks for one vector per text.
    pub fn new<T: Into<String>>(inputs: impl IntoIterator<Item = T>) -> Self {
        Self { inputs: inputs.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Asks for one model, by `model` or `provider/model`. By default the router's first embedding model.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Asks for vectors of this length. The model's own by default.
    pub fn dimensions(mut self, dimensions: u32) -> Self {
        self.dimensions = Some(dimensions);
        self
    }
}

/// The vectors of some texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// One vector per text, in the request's order, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read, where the provider says.
    pub input_tokens: Option<u64>,
    /// Who made them; filled in by the router.
    pub provider: String,
    /// With which model; filled in by the router. Vectors of different models do not compare.
    pub model: String,
    /// What they cost, where tokens and price are known; filled in by the router.
    pub cost: Option<NanoUsd>,
}

impl Embeddings {
    /// Vectors as a provider returns them, before the router says whose they are.
    pub fn new(vectors: Vec<Vec<f32>>, input_tokens: Option<u64>) -> Self {
        Self { vectors, input_tokens, ..Self::default() }
    }
}
