//! Runs a model: an answer, a measurement, embeddings, or what it would need.
//!
//! `generate --model F --prompt P [--chat]`, `generate --model F --bench`, `generate embed --model F TEXT…`,
//! `generate estimate --model F --context N`. Try it on the project's own model:
//!
//!     generate --model crates/aic/models/aic-demo-f16.gguf --chat --prompt "What is 3 plus 4?"
mod answer;
mod bandwidth;
mod bench;
mod embed;
mod estimate;
mod load;
mod show;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Run a model: answer, measure, embed, estimate.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    generate: Option<Generate>,
}

#[derive(Subcommand)]
enum Command {
    Embed(embed::Arguments),
    Estimate(estimate::Arguments),
}

#[derive(Args)]
struct Generate {
    #[command(flatten)]
    load: load::Arguments,
    #[command(flatten)]
    answer: answer::Arguments,
    #[command(flatten)]
    bench: bench::Arguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    sigpipe::reset();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", show::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Done {
    match (arguments.command, arguments.generate) {
        (Some(Command::Embed(arguments)), _) => embed::run(&arguments),
        (Some(Command::Estimate(arguments)), _) => estimate::run(&arguments),
        (None, Some(generate)) if generate.bench.bench => {
            bench::run(&generate.load, &generate.bench, generate.json)
        }
        (None, Some(generate)) => answer::run(&generate.load, &generate.answer, generate.json),
        (None, None) => Err("name a model with --model FILE; `generate --help` shows what it can do".into()),
    }
}
