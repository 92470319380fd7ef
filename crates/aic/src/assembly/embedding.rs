//! The local model that makes embeddings, where one was named.
use std::path::Path;

use aic_quant::gguf::Metadata;
use aic_quant::{Embedder, ModelOptions};

use super::spelled;
use crate::{Error, Finding, Result};

/// A loaded embedding model.
pub(crate) struct EmbeddingModel {
    pub(crate) embedder: Embedder,
    /// A name for the router and for people, without blanks.
    pub(crate) name: String,
    pub(crate) finding: Finding,
}

impl EmbeddingModel {
    /// Loads the model at `path`. Blocks: call it on a blocking thread.
    pub(crate) fn load(path: &Path, options: &ModelOptions) -> Result<Self> {
        let failed = |source| Error::Model { path: path.to_owned(), source };
        let source = aic_quant::open(path).map_err(failed)?;
        let name = name(source.metadata(), path).map_err(failed)?;
        let embedder = Embedder::load(&*source, options).map_err(failed)?;
        let numbers = embedder.dimensions();
        let note = format!("{name}, {numbers} numbers a text, {}", path.display());
        Ok(Self { embedder, name, finding: Finding::used("Embedding model", note) })
    }
}

/// As its makers call it, else as its file is called.
fn name(metadata: &Metadata, path: &Path) -> aic_quant::Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(spelled(metadata.string("general.name")?.or(stem).unwrap_or("embedding")))
}
