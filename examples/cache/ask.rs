//! A question, and what the cache makes of it.
use std::time::Duration;

use aic::cache::{CacheControl, Tag};
use aic::{Answer, ChatRequest};
use anstream::{eprintln, println};
use clap::Args;

use crate::Outcome;
use crate::place::Place;
use crate::show::{DIM, human, origin};

/// A question, and what it asks of the cache.
#[derive(Args)]
pub(crate) struct Question {
    /// What to ask
    question: String,
    /// Use no kept answer; the new one is kept
    #[arg(long)]
    fresh: bool,
    /// Use no answer older than this, such as `90s`, `1h` or `2days`
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
    /// Mark the answer as made from this document, to be cleared with it
    #[arg(long, value_name = "NAME")]
    document: Option<String>,
    /// For whom it is asked: no tenant is ever given another's answer
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Question {
    fn asked(&self) -> aic::Question {
        self.about(&self.question, self.control())
    }

    /// Another text, asked by the same tenant. It is asked anew, for only what was asked by this process is compared.
    fn other(&self, text: &str) -> aic::Question {
        self.about(text, CacheControl::new().no_cache())
    }

    fn about(&self, text: &str, control: CacheControl) -> aic::Question {
        let request = ChatRequest::user(text);
        aic::Question::from(ChatRequest { tenant: self.tenant.clone(), ..request }).cache(control)
    }

    fn control(&self) -> CacheControl {
        let documents = self.document.iter().map(|name| Tag::new("document", name));
        let mut control = documents.fold(CacheControl::new(), CacheControl::tag);
        control.no_cache = self.fresh;
        control.max_age = self.max_age;
        control
    }
}

pub(crate) async fn ask(place: &Place, question: &Question, json: bool) -> Outcome {
    let ai = place.open().await?;
    let answer = ai.ask(question.asked()).await?;
    let saved = ai.status().cache.map_or(0, |stats| stats.saved.tokens);
    ai.shutdown().await;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!("{answer}");
    eprintln!("{DIM}{}{DIM:#}", summary(&answer, saved));
    Ok(())
}

/// Where the answer came from, how long that took, and what it cost or saved.
fn summary(answer: &Answer, saved_tokens: u64) -> String {
    let mut facts = vec![format!("{}{DIM}", origin(answer)), human(answer.elapsed)];
    match &answer.origin {
        aic::Origin::Cache { saved, .. } => {
            let money = saved.map_or("a price nobody knows".to_owned(), |saved| saved.to_string());
            facts.push(format!("saved {saved_tokens} tokens and {money}"));
        }
        _ => {
            facts.extend(answer.usage.map(|usage| format!("{} + {} tokens", usage.input, usage.output)));
            facts.push(answer.cost.map_or("cost unknown".to_owned(), |cost| cost.to_string()));
        }
    }
    facts.join(" · ")
}

pub(crate) async fn explain(place: &Place, question: &Question, like: Option<String>, json: bool) -> Outcome {
    let ai = place.open().await?;
    if let Some(like) = like {
        ai.ask(question.other(&like)).await?;
    }
    let explanation = ai.explain_cache(question.asked()).await;
    ai.shutdown().await;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&explanation)?),
        false => println!("{explanation}"),
    }
    Ok(())
}
