//! Looks into model files and makes them smaller, without making them worse.
//!
//! `quantize convert IN OUT --to q4_k_m`, `quantize inspect FILE`, `quantize compare A B --text FILE`, and `prune`, `distill`,
//! `compress`, `onnx`, `imatrix`, `run`. Try it on the project's own model:
//!
//!     quantize convert crates/aic/models/aic-demo-f16.gguf /tmp/demo-q4.gguf --to int4
mod compare;
mod compress;
mod convert;
mod distill;
mod imatrix;
mod inspect;
mod onnx;
mod prune;
mod run;
mod show;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Model files: look into them, make them smaller, prove that they are still good.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Arguments),
    Inspect(inspect::Arguments),
    Compare(compare::Arguments),
    Imatrix(imatrix::Arguments),
    Prune(prune::Arguments),
    Distill(distill::Arguments),
    Compress(compress::Arguments),
    Onnx(onnx::Arguments),
    Run(run::Arguments),
}

/// What a command comes to: done, or done with an answer of no.
type Done = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    sigpipe::reset();
    let done = match Arguments::parse().command {
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Imatrix(arguments) => imatrix::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Distill(arguments) => distill::run(&arguments),
        Command::Compress(arguments) => compress::run(&arguments),
        Command::Onnx(arguments) => onnx::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", show::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}
