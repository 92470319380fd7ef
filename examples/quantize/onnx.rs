//! `quantize onnx`: ONNX models in smaller numbers.
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::onnx::{self, Options, Scheme};
use clap::ValueEnum;

use crate::{Done, show};

/// Write an ONNX model with smaller weights, embeddings included
#[derive(clap::Args)]
pub(crate) struct Arguments {
    input: PathBuf,
    output: PathBuf,
    /// What the weights become
    #[arg(long, value_enum)]
    to: To,
    /// Leave nodes alone whose names match, a regular expression; may be given several times
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// 8 bits, inputs turned into 8 bits while the model runs
    Int8,
    /// Blocks of 4 bits
    Int4,
    /// Half floats
    Fp16,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let scheme = match arguments.to {
        To::Int8 => Scheme::DynamicInt8,
        To::Int4 => Scheme::Int4,
        To::Fp16 => Scheme::Float16,
    };
    let options = arguments.exclude.iter().fold(Options::default(), Options::exclude);
    let bar = show::byte_bar(false);
    let report = onnx::quantize(&arguments.input, &arguments.output, &scheme, &options, |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    println!("{report}");
    for left in &report.left {
        println!("left: {} ({}), {}", left.node, left.op, left.reason);
    }
    Ok(ExitCode::SUCCESS)
}
