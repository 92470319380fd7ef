//! `quantize imatrix`: what matters inside a model.
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aic::quant::{Calibration, Importance, Model};

use crate::{Done, show};

/// Let a model read text and write down which of its weights matter, for `convert --imatrix`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    model: PathBuf,
    output: PathBuf,
    /// Text as the model will meet it, some thousands of words
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let model = Model::open(&arguments.model)?;
    let importance = calibrate(&model, &arguments.text)?;
    importance.save(&arguments.output)?;
    println!("{} matrices in {}", importance.tensors().count(), arguments.output.display());
    Ok(ExitCode::SUCCESS)
}

/// The importance matrix of `model` over a text, with a bar.
pub(crate) fn calibrate(model: &Model, text: &Path) -> Result<Importance, Box<dyn std::error::Error>> {
    let content =
        fs::read_to_string(text).map_err(|error| format!("cannot read `{}`: {error}", text.display()))?;
    let tokens = model.tokenize(&content)?;
    let mut importance = Importance::new();
    let bar = show::step_bar(false, "windows");
    let window = 512.min(model.max_context()).min(tokens.len());
    Calibration::new(model).window(window).importance(&tokens, &mut importance, |progress| {
        bar.set_length(progress.total_windows as u64);
        bar.set_position(progress.done_windows as u64);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    Ok(importance)
}
