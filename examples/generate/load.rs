//! Loading a model as the arguments say.
use std::path::PathBuf;

use aic::quant::{CacheType, DType, Device, InstructionSet, Model, ModelOptions};

use crate::show;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A GGUF file, or a folder as Hugging Face lays it out
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Threads to compute with [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Most tokens of prompt and answer together
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) context: usize,
    /// Where to run: cpu, cuda:0, metal
    #[arg(long, default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Quantize while loading
    #[arg(long, value_name = "TYPE")]
    pub(crate) to: Option<DType>,
    /// How keys and values are kept: f16, q8_0, q4_0
    #[arg(long, value_name = "TYPE", default_value_t = CacheType::F16)]
    pub(crate) cache: CacheType,
    /// Use at most these instructions: scalar, neon, avx2, avx_vnni, avx512_vnni, amx
    #[arg(long, value_name = "NAME")]
    pub(crate) instructions: Option<InstructionSet>,
}

impl Arguments {
    pub(crate) fn options(&self) -> ModelOptions {
        let mut options =
            Model::options().max_context(self.context).device(self.device).cache_type(self.cache);
        if let Some(threads) = self.threads {
            options = options.threads(threads);
        }
        if let Some(dtype) = self.to {
            options = options.dtype(dtype);
        }
        if let Some(instructions) = self.instructions {
            options = options.instructions(instructions);
        }
        options
    }

    /// Loads the model, under a progress bar unless `quiet`.
    pub(crate) fn load(&self, quiet: bool) -> aic::quant::Result<Model> {
        let bar = show::byte_bar(quiet);
        let shown = bar.clone();
        let options = self.options().on_progress(move |progress| {
            shown.set_length(progress.total_bytes);
            shown.set_position(progress.done_bytes);
        });
        let model = options.open(&self.model);
        bar.finish_and_clear();
        model
    }
}
