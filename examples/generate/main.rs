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
    generate: Generate,
}

#[derive(Subcommand)]
enum Command {
    Embed(embed::Arguments),
    Estimate(estimate::Arguments),
}

#[derive(Args)]
#[group(skip)]
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

fn run(Arguments { command, generate }: Arguments) -> Done {
    match command {
        Some(Command::Embed(arguments)) => embed::run(&arguments),
        Some(Command::Estimate(arguments)) => estimate::run(&arguments),
        None if generate.bench.bench => bench::run(&generate.load, &generate.bench, generate.json),
        None => answer::run(&generate.load, &generate.answer, generate.json),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/aic/models/aic-demo-f16.gguf");

    fn call(line: &str) -> Done {
        let words = line.split(' ').map(|word| if word == "DEMO" { DEMO } else { word });
        run(Arguments::try_parse_from(["generate"].into_iter().chain(words))?)
    }

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_use_works_with_the_demonstration_model() {
        for line in [
            "--model DEMO --chat --max-tokens 8 --temperature 0 --threads 2 --prompt Hi",
            "--model DEMO --max-tokens 4 --json --prompt Hi",
            "--model DEMO --bench --pp 16 --tg 4 --repeat 1 --threads 1 --json",
            "embed --model DEMO cat dog",
            "estimate --model DEMO --context 512",
            "estimate --model DEMO --device cuda:0 --device-layers 2 --json",
            "--model DEMO --max-tokens 4 --device cuda:0 --device-layers 0 --pin --prompt Hi",
        ] {
            call(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        for (line, says) in [
            ("--prompt Hi", "--model FILE"),
            ("estimate", "--model FILE"),
            ("--model none.gguf --prompt Hi", "none.gguf"),
            ("embed --model DEMO", "TEXTS"),
            ("--model DEMO --device cuda:99 --device-layers fit --prompt Hi", "device_layers"),
            ("--model DEMO --device-layers some --prompt Hi", "some"),
            ("--model DEMO --bench embed --model DEMO cat", "embed"),
        ] {
            let error = call(line).unwrap_err();
            assert!(show::chain(error.as_ref()).contains(says), "{line}: {error}");
        }
    }
}
