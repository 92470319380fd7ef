//! A question and where it goes.
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aic::router::{
    Answer, ChatRequest, Draft, Event, FinishReason, Media, Message, Priority, ReasoningEffort, Router, Task,
};
use anstream::{eprint, eprintln, print, println};
use clap::Args;
use serde::de::DeserializeOwned;

use crate::show::{DIM, human};
use crate::{Outcome, costs, providers};

/// A question with its settings.
#[derive(Args)]
pub(crate) struct Question {
    /// What to ask
    question: String,
    /// What matters most: `speed`, `quality` or `cost`
    #[arg(long, default_value = "quality", value_parser = named::<Priority>)]
    priority: Priority,
    /// Ask this one, by `model` or `provider/model`
    #[arg(long)]
    model: Option<String>,
    /// The kind of work, as `code` or `summary`; guessed from the question by default
    #[arg(long, value_parser = named::<Task>)]
    task: Option<Task>,
    /// How hard to think: `off`, `low`, `medium` or `high`; the model's own choice by default
    #[arg(long, value_name = "EFFORT", value_parser = named::<ReasoningEffort>)]
    think: Option<ReasoningEffort>,
    /// Show a picture (PNG, JPEG, GIF or WebP); may be given again
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// For whom it is asked; the accounts keep tenants apart
    #[arg(long)]
    tenant: Option<String>,
}

impl Question {
    fn request(&self) -> Result<ChatRequest, Box<dyn Error>> {
        let pictures = self.image.iter().map(|file| picture(file)).collect::<Result<Vec<_>, _>>()?;
        let message = pictures.into_iter().fold(Message::user(&self.question), Message::image);
        let request = ChatRequest::new(vec![message]).priority(self.priority);
        let (model, tenant) = (self.model.clone(), self.tenant.clone());
        Ok(ChatRequest { model, tenant, task: self.task, reasoning: self.think, ..request })
    }
}

pub(crate) async fn ask(question: &Question, json: bool) -> Outcome {
    let request = question.request()?;
    let router = providers::found().await?;
    let done = tokio::select! {
        done = answer(&router, request, json) => done,
        _ = tokio::signal::ctrl_c() => Err("stopped".into()),
    };
    if done.is_err() {
        eprintln!(); // The answer may have broken off in the middle of a line.
    }
    // A failed or stopped answer may have cost something too.
    costs::keep(&router.accounts());
    done
}

pub(crate) async fn explain(question: &Question) -> Outcome {
    let request = question.request()?;
    print!("{}", providers::found().await?.explain(&request));
    Ok(())
}

async fn answer(router: &Router, request: ChatRequest, json: bool) -> Outcome {
    let asked = Instant::now();
    if json {
        let answer = router.chat(request).await?.collect().await?;
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let answer = streamed(router, request).await?;
    eprintln!("{DIM}{}{DIM:#}", summary(&answer, asked.elapsed()));
    Ok(())
}

/// Shows the answer while it comes: the text on standard output, thoughts beside it.
async fn streamed(router: &Router, request: ChatRequest) -> Result<Answer, Box<dyn Error>> {
    let mut stream = router.chat(request).await?;
    let (mut draft, mut thinking) = (Draft::default(), false);
    while let Some(event) = stream.next().await {
        let event = event?;
        match &event {
            Event::Thinking(thought) => {
                eprint!("{DIM}{}{DIM:#}", thought.text);
                thinking |= !thought.text.is_empty();
            }
            Event::Text(text) => {
                if std::mem::take(&mut thinking) {
                    eprintln!("\n");
                }
                print!("{text}");
                std::io::stdout().flush()?;
            }
            _ => {}
        }
        draft.add(event);
    }
    println!();
    Ok(draft.finish()?)
}

/// Who answered, what it took and what it cost, in one line.
fn summary(answer: &Answer, elapsed: Duration) -> String {
    let mut facts = vec![format!("{}/{}", answer.provider, answer.model)];
    facts.extend(answer.usage.map(|usage| {
        let cached = usage.cached_input.filter(|cached| *cached > 0);
        let cached = cached.map_or(String::new(), |cached| format!(" ({cached} cached)"));
        format!("{}{cached} + {} tokens", usage.input, usage.output)
    }));
    facts.push(answer.cost.map_or("cost unknown".to_owned(), |cost| cost.to_string()));
    facts.push(human(elapsed));
    facts.extend(match answer.finish {
        FinishReason::Length => Some("ended at its greatest length".to_owned()),
        FinishReason::ContentFilter => Some("the provider withheld the rest".to_owned()),
        _ => None,
    });
    facts.join(" · ")
}

fn picture(file: &Path) -> Result<Media, Box<dyn Error>> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let mime = match ending.as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        _ => return Err(format!("{} is no .png, .jpg, .gif or .webp", file.display()).into()),
    };
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(Media::bytes(mime, bytes))
}

/// A value by its name in configuration files; a wrong name is answered with all that there are.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}
