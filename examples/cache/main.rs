//! Answers kept and found again: `cache demo`, `ask`, `stats`, `clear`, `warm`, `explain`.
//!
//! Answers come from the demonstration model inside this program, so neither key, network, GPU nor Redis is needed;
//! Redis is used where `REDIS_URL` names one. What is kept is found again by the next command, in the folder that
//! `--folder` or `AIC_CACHE_DIR` names.
mod ask;
mod demo;
mod place;
mod show;
mod stores;
mod warm;

use std::error::Error;
use std::process::ExitCode;

use anstream::eprintln;
use clap::{Parser, Subcommand};

use crate::ask::Question;
use crate::place::Place;
use crate::stores::Marks;
use crate::warm::Prompts;

/// What every command comes to; an error is told to the person.
type Outcome = Result<(), Box<dyn Error>>;

/// Never pay twice for the same answer.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum Command {
    /// Show what the cache does, one case a line, in a folder that is removed afterwards
    Demo,
    /// Ask, and see where the answer comes from
    Ask {
        #[command(flatten)]
        question: Question,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Say what the folder and Redis hold
    Stats {
        /// Ask ten questions twice first, and print what the cache made of them
        #[arg(long)]
        sample: bool,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Clear all answers with one of these marks; the others stay
    Clear(Marks),
    /// Ask all questions of a file, so that their answers are there
    ///
    /// One a line: its text, a JSON string, or a JSON object with a whole request, as in
    /// {"messages": [{"role": "user", "parts": [{"text": "Why?"}]}]}.
    Warm(Prompts),
    /// Say what the cache would do with a question; nothing is asked
    Explain {
        #[command(flatten)]
        question: Question,
        /// Ask this one first, and say what sets the two apart
        #[arg(long, value_name = "QUESTION")]
        like: Option<String>,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    sigpipe::reset();
    let done = tokio::select! {
        done = run(Arguments::parse()) => done,
        _ = tokio::signal::ctrl_c() => Err("stopped; what was kept stays".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}error:{:#} {}", show::BAD, show::BAD, show::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { command, place }: Arguments) -> Outcome {
    match command {
        Command::Demo => demo::demo().await,
        Command::Ask { question, json } => ask::ask(&place, &question, json).await,
        Command::Stats { sample, json } => stores::stats(&place, sample, json).await,
        Command::Clear(marks) => stores::clear(&place, &marks).await,
        Command::Warm(prompts) => warm::warm(&place, &prompts).await,
        Command::Explain { question, like, json } => ask::explain(&place, &question, like, json).await,
    }
}
