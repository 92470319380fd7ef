//! The main job: looks at this machine, loads a model as the profile says, answers a question, answers it again from the
//! cache, explains a route, and says how everything is.
//!
//! `cargo run --release --bin quickstart -- "Why is the sky blue?"`, with `--model FILE` for any GGUF file and `--json`
//! for machines. Ollama, `GEMINI_API_KEY`, `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `REDIS_URL` and a GPU are used where
//! they are there.
mod failure;
mod report;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use aic::quant::live::Live;
use aic::{Aic, Answer, Config, Environment, Event};
use clap::Parser;

use crate::report::Report;
use crate::show::Show;

/// Ask a quantized model on your own machine, and see how the answer came about.
#[derive(Parser)]
struct Arguments {
    /// The question.
    #[arg(default_value = "Why is the sky blue?")]
    question: String,
    /// A GGUF file to run in place of the demonstration model.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The type to quantize to while loading, in place of the profile's: Q8_0 (int8), Q4_K (int4), F16.
    #[arg(long, value_name = "TYPE")]
    to: Option<String>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// Shown where it would go, and not asked.
const ROUTED: &str = "Write a Python function that checks whether a number is prime.";

#[tokio::main]
async fn main() -> ExitCode {
    sigpipe::reset();
    let started = Instant::now();
    let arguments = Arguments::parse();
    show::logs();
    tokio::select! {
        done = run(&arguments, started) => match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::tell(&error, arguments.json),
        },
        _ = tokio::signal::ctrl_c() => show::interrupted(),
    }
}

async fn run(arguments: &Arguments, started: Instant) -> aic::Result<()> {
    let show = if arguments.json { Show::silent() } else { Show::to_terminal() };
    let ai = start(arguments, &show).await?;
    show.findings(ai.findings());
    let model = ai.model().map(Live::current);
    show.model(model.as_ref().and_then(|model| model.info().description.as_deref()));

    let first = ask(&ai, &arguments.question, &show).await?;
    let time_to_first_text = started.elapsed() - first.elapsed + first.first_text;
    show.answered(&first);
    let again = ai.ask(arguments.question.as_str()).await?;
    show.again(&first, &again);

    let route = ai.explain(ROUTED);
    show.route(ROUTED, &route, ai.findings());
    ai.monitor().poll();
    let status = ai.status();
    show.status(&status);
    show.total(time_to_first_text, started.elapsed());

    if arguments.json {
        let report = Report {
            machine: ai.machine(),
            profile: ai.recommendation(),
            findings: ai.findings(),
            question: &arguments.question,
            first: &first,
            again: &again,
            routed: ROUTED,
            route: &route,
            status: &status,
            start_to_first_text: time_to_first_text,
            total: started.elapsed(),
        };
        report.print();
    }
    ai.shutdown().await;
    Ok(())
}

async fn start(arguments: &Arguments, show: &Show) -> aic::Result<Aic> {
    let environment = Environment::of_process();
    let mut config = Config::load(&environment)?;
    if arguments.model.is_some() {
        config.model.path.clone_from(&arguments.model);
    }
    if arguments.to.is_some() {
        config.model.quantization.clone_from(&arguments.to);
    }
    let steps = show.clone();
    Aic::builder().config(config).environment(environment).on_step(move |step| steps.step(step)).build().await
}

/// Asks, and shows the text as it comes.
async fn ask(ai: &Aic, question: &str, show: &Show) -> aic::Result<Answer> {
    show.question(question);
    let mut stream = ai.chat(question).await?;
    while let Some(event) = stream.next().await {
        if let Event::Text(text) = event? {
            show.text(&text);
        }
    }
    stream.answer()
}
