//! Answers made ahead of use, from a file of questions.
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use aic::cache::BoxError;
use aic::cache::warm::{Progress, Warming, lines};
use aic::{ChatRequest, Question};
use anstream::{eprintln, println};
use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::place::Place;
use crate::show::{BAD, chain};

const BAR: &str = "{bar:12.cyan/blue} {wide_msg}";

/// The questions, and within what limits they are asked.
#[derive(Args)]
pub(crate) struct Prompts {
    /// Questions, one a line
    file: PathBuf,
    /// At most so many questions a minute
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// At most so many new answers
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// At most so many dollars
    #[arg(long, value_name = "X", value_parser = nano_usd)]
    budget_usd: Option<u64>,
}

impl Prompts {
    /// The questions; each line that is none is told and counted.
    fn read(&self) -> Result<(Vec<Question>, u64), Box<dyn std::error::Error>> {
        let at = |error| format!("cannot read {}: {error}", self.file.display());
        let file = File::open(&self.file).map_err(at)?;
        if file.metadata().map_err(at)?.is_dir() {
            return Err(format!("{} is a folder, not a file of questions", self.file.display()).into());
        }
        let (mut questions, mut bad) = (Vec::new(), 0);
        for line in lines(BufReader::new(file), question) {
            match line {
                Ok(question) => questions.push(question),
                Err(error) => {
                    bad += 1;
                    eprintln!("{BAD}left out:{BAD:#} {}", chain(&error));
                }
            }
        }
        Ok((questions, bad))
    }

    fn warming<'a>(&self, on_progress: impl FnMut(&Progress) + Send + 'a) -> Warming<'a> {
        let mut warming = Warming::new().on_progress(on_progress);
        if let Some(rate) = self.rate {
            warming = warming.rate(rate, Duration::from_secs(60));
        }
        if let Some(limit) = self.limit {
            warming = warming.limit_entries(limit);
        }
        if let Some(budget) = self.budget_usd {
            warming = warming.budget_nano_usd(budget);
        }
        warming
    }
}

pub(crate) async fn warm(place: &Place, prompts: &Prompts) -> Outcome {
    let (questions, bad) = prompts.read()?;
    let ai = place.open().await?;
    let style = ProgressStyle::with_template(BAR)?;
    let bar = ProgressBar::new(questions.len() as u64).with_style(style); // drawn on terminals only
    let shown = |progress: &Progress| {
        bar.set_position(progress.done);
        bar.set_message(progress.to_string());
    };
    let warmed = ai.warm(questions, prompts.warming(shown)).await;
    bar.finish_and_clear();
    ai.shutdown().await;
    println!("{warmed}");
    match (warmed.progress.failed, bad) {
        (0, 0) => Ok(()),
        (failed, bad) => Err(format!("{failed} questions failed, {bad} lines were left out").into()),
    }
}

/// A line: a text as it is, a JSON string, or a whole request.
fn question(line: &str) -> Result<Question, BoxError> {
    Ok(match line.as_bytes() {
        [b'{', ..] => serde_json::from_str::<ChatRequest>(line)?.into(),
        [b'"', ..] => serde_json::from_str::<String>(line)?.into(),
        _ => line.into(),
    })
}

fn nano_usd(dollars: &str) -> Result<u64, String> {
    match dollars.parse::<f64>() {
        Ok(dollars) if (0.0..=1e9).contains(&dollars) => Ok((dollars * 1e9) as u64),
        _ => Err("an amount of dollars such as 0.50".to_owned()),
    }
}
