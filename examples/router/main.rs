//! Routes a question: `router ask`, `router explain`, `router models`, `router health`, `router failover`.
//!
//! Uses Ollama and the clouds whose keys are set. `failover` needs none of them: it shows retries, fallback and a breaker
//! with two providers that are made to fail.
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aic::router::testing::FakeProvider;
use aic::router::{
    Anthropic, ApiKey, ChatRequest, ErrorKind, Event, Gemini, Ollama, OpenAi, Priority, Provider, Router,
    RouterBuilder,
};
use clap::{Parser, Subcommand, ValueEnum};

/// The right model for each request.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask, and see the answer as it comes
    Ask {
        question: String,
        #[arg(long, default_value = "quality")]
        priority: Wish,
    },
    /// Say where a question would go, and why not elsewhere
    Explain {
        question: String,
        #[arg(long, default_value = "quality")]
        priority: Wish,
    },
    /// List the models of every provider found
    Models,
    /// Say which models can be called now
    Health,
    /// Show a failing provider, the fallback and the breaker, without any network
    Failover,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wish {
    Speed,
    Quality,
    Cost,
}

#[tokio::main]
async fn main() -> ExitCode {
    sigpipe::reset();
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Ask { question, priority } => {
            ask(&found().await?, ChatRequest::user(question).priority(priority.into())).await
        }
        Command::Explain { question, priority } => {
            print!("{}", found().await?.explain(&ChatRequest::user(question).priority(priority.into())));
            Ok(())
        }
        Command::Models => models(&found().await?),
        Command::Health => health(&found().await?),
        Command::Failover => failover().await,
    }
}

/// A router over whatever is there.
async fn found() -> aic::router::Result<Router> {
    let mut router = Router::builder();
    let url = std::env::var("OLLAMA_HOST").unwrap_or_else(|_| "http://127.0.0.1:11434".to_owned());
    match Ollama::connect(&url).await {
        Ok(ollama) => router = router.provider(ollama),
        Err(_) => eprintln!("Ollama: nobody answers at {url}"),
    }
    clouds(router)?.build()
}

fn clouds(mut router: RouterBuilder) -> aic::router::Result<RouterBuilder> {
    if let Ok(key) = ApiKey::from_env("GEMINI_API_KEY") {
        router = router.provider(Gemini::new(key)?);
    }
    if let Ok(key) = ApiKey::from_env("ANTHROPIC_API_KEY") {
        router = router.provider(Anthropic::new(key)?);
    }
    if let Ok(key) = ApiKey::from_env("OPENAI_API_KEY") {
        router = router.provider(OpenAi::new(key)?);
    }
    Ok(router)
}

async fn ask(router: &Router, request: ChatRequest) -> Result<(), Box<dyn Error>> {
    let asked = Instant::now();
    let mut answer = router.chat(request).await?;
    while let Some(event) = answer.next().await {
        match event? {
            Event::Start { provider, model } => eprintln!("[{provider}/{model}]"),
            Event::Text(text) => print!("{text}"),
            Event::Cost(cost) => eprint!("\n[{cost}]"),
            Event::End(_) => eprintln!("\n[{:.1?}]", asked.elapsed()),
            _ => {}
        }
    }
    Ok(())
}

fn models(router: &Router) -> Result<(), Box<dyn Error>> {
    for info in router.providers().map(Provider::info) {
        for model in &info.models {
            let price = model.price.map_or("price unknown".to_owned(), |price| {
                format!("{} in, {} out per million tokens", price.input, price.output)
            });
            println!("{:10} {:32} {price}", info.name, model.name);
        }
    }
    Ok(())
}

fn health(router: &Router) -> Result<(), Box<dyn Error>> {
    for model in router.health() {
        println!("{:10} {:32} {:?}", model.provider, model.model, model.health);
    }
    Ok(())
}

/// The first provider fails for ever, so the second answers; after a while the first is not even asked.
async fn failover() -> Result<(), Box<dyn Error>> {
    let broken = FakeProvider::new("broken").model("big-70b").fail(ErrorKind::Unreachable);
    let steady = FakeProvider::new("steady").model("small-8b").reply("here I am");
    let router = Router::builder().provider(broken).provider(steady).chain(["broken", "steady"]);
    let router = router.breaker_cooldown(Duration::from_secs(30)).build()?;

    for number in 1..=8 {
        let asked = Instant::now();
        let answer = router.chat(ChatRequest::user("Anybody there?")).await?.collect().await?;
        let failures: u64 = router.stats().models.iter().map(|model| model.failures).sum();
        println!(
            "question {number}: \"{answer}\" from {}/{} after {:.1?}, failed calls so far: {failures}",
            answer.provider,
            answer.model,
            asked.elapsed()
        );
    }
    println!("\n{}", router.explain(&ChatRequest::user("Anybody there?")));
    Ok(())
}

impl From<Wish> for Priority {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Speed => Self::Speed,
            Wish::Quality => Self::Quality,
            Wish::Cost => Self::Cost,
        }
    }
}
