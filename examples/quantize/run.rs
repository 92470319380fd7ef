//! `quantize run`: an answer from a model.
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::{DType, GenerateOptions, Message, Model, ModelOptions};

use crate::Done;

/// Answer a question with a model
#[derive(clap::Args)]
pub(crate) struct Arguments {
    file: PathBuf,
    question: String,
    /// Quantize while loading
    #[arg(long, value_name = "TYPE")]
    to: Option<DType>,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let options = arguments.to.into_iter().fold(Model::options(), ModelOptions::dtype);
    let model = options.open(&arguments.file)?;
    let greedy = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
    let mut answer = model.generate(&[Message::user(&arguments.question)], &greedy)?;
    for piece in answer.by_ref() {
        print!("{}", piece?.text);
        std::io::stdout().flush()?;
    }
    let rate =
        answer.timings().tokens_per_second.map_or(String::new(), |rate| format!(", {rate:.0} tokens/s"));
    println!("\n[{} tokens{rate}]", answer.usage().output_tokens);
    Ok(ExitCode::SUCCESS)
}
