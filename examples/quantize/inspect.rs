//! `quantize inspect`: what a model file is and holds.
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::inspect;

use crate::Done;

/// Print what a model file says of itself and its tensors
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A GGUF or safetensors file, or a Hugging Face folder
    file: PathBuf,
    /// Print one JSON object, with everything
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let inspection = inspect(&arguments.file)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&inspection)?);
    } else {
        print!("{inspection}");
    }
    Ok(ExitCode::SUCCESS)
}
