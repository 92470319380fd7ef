//! Routes a question: `router ask`, `explain`, `models`, `pull`, `health`, `costs`, `failover`.
//!
//! Uses Ollama (`OLLAMA_HOST`), a compatible server (`OPENAI_BASE_URL`) and the clouds whose keys are set. `failover`
//! needs none of them: it shows retries, fallback and a breaker with two providers that are made to fail.
mod ask;
mod costs;
mod failover;
mod health;
mod models;
mod providers;
mod pull;
mod show;

use std::error::Error;
use std::process::ExitCode;

use anstream::eprintln;
use clap::{Parser, Subcommand};

use crate::ask::Question;

/// What every command comes to; an error is told to the person.
type Outcome = Result<(), Box<dyn Error>>;

/// The right model for each request.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask, and see the answer as it comes
    ///
    /// What it cost is added to the accounts that `costs` prints.
    Ask {
        #[command(flatten)]
        question: Question,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Say where a question would go, and why not elsewhere; nothing is sent
    Explain(Question),
    /// List the models of every provider found
    Models,
    /// Have Ollama download a model
    Pull {
        /// As in `llama3.2:3b`
        model: String,
    },
    /// Ask every provider for one word, and say how it did
    ///
    /// The loaded or else the cheapest model of each is asked, at a small fraction of a cent.
    Health,
    /// Print what was used and spent, by provider, model, task and tenant
    ///
    /// The accounts are in the file that AIC_COSTS names; without it in aic/costs.json in the user's folder for state
    /// ($XDG_STATE_HOME, ~/.local/state, on Windows %LOCALAPPDATA%).
    Costs {
        /// Forget them after printing
        #[arg(long)]
        reset: bool,
    },
    /// Show a failing provider, the fallback and the breaker, without any network
    Failover,
}

#[tokio::main]
async fn main() -> ExitCode {
    sigpipe::reset();
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}error:{:#} {}", show::BAD, show::BAD, chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Ask { question, json } => ask::ask(&question, json).await,
        Command::Explain(question) => ask::explain(&question).await,
        Command::Models => models::models().await,
        Command::Pull { model } => pull::pull(&model).await,
        Command::Health => health::health().await,
        Command::Costs { reset } => costs::costs(reset),
        Command::Failover => failover::failover().await,
    }
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
