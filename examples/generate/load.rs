//! Loading a model as the arguments say.
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aic::adapters::MachineMemory;
use aic::quant::{Affinity, CacheType, DType, Device, DeviceLayers, InstructionSet, Model, ModelOptions};

use crate::show;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// A GGUF file, or a folder as Hugging Face lays it out
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Threads to compute with [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Most tokens of prompt and answer together
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) context: usize,
    /// Where to run: cpu, cuda:0, metal
    #[arg(long, default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Layers to run on the device, the first ones, the others on the processor: all, a number, fit
    #[arg(long, value_name = "N", default_value_t = DeviceLayers::All)]
    pub(crate) device_layers: DeviceLayers,
    /// Keep each thread on a core of its own
    #[arg(long)]
    pub(crate) pin: bool,
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
    pub(crate) fn model(&self) -> Result<&Path, Box<dyn Error>> {
        let unnamed = "name a model with --model FILE; `generate --help` shows what else there is";
        self.model.as_deref().ok_or_else(|| unnamed.into())
    }

    pub(crate) fn options(&self) -> ModelOptions {
        let mut options = Model::options()
            .max_context(self.context)
            .device(self.device)
            .device_layers(self.device_layers)
            .affinity(if self.pin { Affinity::Spread } else { Affinity::Free })
            .memory(Arc::new(MachineMemory))
            .cache_type(self.cache);
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
    pub(crate) fn load(&self, quiet: bool) -> Result<Model, Box<dyn Error>> {
        let path = self.model()?;
        let bar = show::byte_bar(quiet);
        let shown = bar.clone();
        let options = self.options().on_progress(move |progress| {
            shown.set_length(progress.total_bytes);
            shown.set_position(progress.done_bytes);
        });
        let model = options.open(path);
        bar.finish_and_clear();
        Ok(model?)
    }
}
