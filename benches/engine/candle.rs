//! candle-transformers' quantized llama on the same file.
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;

use crate::Figures;
use crate::options::{Options, median, resident_bytes};

pub(crate) fn run(path: &Path, options: &Options) -> Result<Figures> {
    let before = resident_bytes();
    let mut file = File::open(path)?;
    let content = Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..options.repeat {
        let prompt: Vec<u32> = (0..options.prompt as u32).map(|i| (i * 7919) % 32_000).collect();
        prefill.push(options.prompt as f64 / timed(|| forward(&mut model, &prompt, 0))?);
        forward(&mut model, &[1], 0)?;
        let write = || (1..=options.answer).try_for_each(|at| forward(&mut model, &[at as u32], at));
        decode.push(options.answer as f64 / timed(write)?);
    }
    let resident_bytes = resident_bytes().saturating_sub(before);
    Ok(Figures { prefill: median(prefill), decode: median(decode), resident_bytes })
}

fn forward(model: &mut ModelWeights, tokens: &[u32], at: usize) -> Result<()> {
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    model.forward(&input, at).map(drop)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}
