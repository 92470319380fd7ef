//! `cargo xtask demo-model`: hands over to the program that trains the demonstration model.

use std::process::ExitCode;

use crate::error::Result;
use crate::process::{self, cargo_with};

pub(crate) const HELP: &str = "\
cargo xtask demo-model [ARGS]

Builds and runs the program that trains the small demonstration model, with
optimisation and with the libraries that only it needs. ARGS are its own;
`cargo xtask demo-model --help` asks it.
";

pub(crate) const QUANTIZATIONS_HELP: &str = "\
cargo xtask quantizations

Quantizes the demonstration model to every type, measures size, damage, right
answers and speed of each, and writes the table into docs/quantization.md.
";

/// Builds the trainer with its heavy dependencies, which the other commands do without, and runs it.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let mut command = cargo_with("run --release --package xtask --features demo-model --bin demo-model --");
    process::run(command.args(args))?;
    Ok(ExitCode::SUCCESS)
}

/// The same program, as it measures what quantizing costs.
pub(crate) fn quantizations(args: &[String]) -> Result<ExitCode> {
    run(&[&["--quantizations".to_owned()], args].concat())
}
