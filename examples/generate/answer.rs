//! One answer, as it is made.
use std::io::{Read, Write};

use aic::quant::{Constraint, FinishReason, GenerateOptions, Generation, Message, Model};
use serde::Serialize;

use crate::{Done, load};

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// What to continue, or to answer; `-` reads it
    #[arg(long, value_name = "TEXT", required_unless_present = "bench")]
    prompt: Option<String>,
    /// Answer the prompt as a message, through the model's chat template
    #[arg(long)]
    chat: bool,
    /// What the model is told before the message
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Most tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Repeats an answer
    #[arg(long)]
    seed: Option<u64>,
    /// Ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Answer with a JSON document that fulfils the schema in this file
    #[arg(long, value_name = "FILE")]
    json_schema: Option<std::path::PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    text: &'a str,
    finish: &'a str,
    prompt_tokens: usize,
    output_tokens: usize,
    time_to_first_token_ms: Option<f64>,
    tokens_per_second: Option<f64>,
}

pub(crate) fn run(load: &load::Arguments, arguments: &Arguments, json: bool) -> Done {
    let options = arguments.options()?;
    let prompt = arguments.prompt()?;
    let model = load.load(json)?;
    let mut generation = arguments.start(&model, &prompt, &options)?;
    let mut text = String::new();
    for piece in generation.by_ref() {
        let piece = piece?.text;
        if !json {
            print!("{piece}");
            std::io::stdout().flush()?;
        }
        text += &piece;
    }
    if json {
        println!("{}", serde_json::to_string(&report(&generation, &text))?);
    } else {
        println!();
        eprintln!("{}", summary(&generation));
    }
    Ok(())
}

impl Arguments {
    fn options(&self) -> Result<GenerateOptions, Box<dyn std::error::Error>> {
        let schema = self.json_schema.as_ref().map(|path| {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        });
        Ok(GenerateOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            seed: self.seed,
            stop: self.stop.clone(),
            constraint: schema.transpose()?.map(Constraint::JsonSchema),
            ..GenerateOptions::default()
        })
    }

    fn prompt(&self) -> std::io::Result<String> {
        let prompt = self.prompt.clone().unwrap_or_default();
        if prompt != "-" {
            return Ok(prompt);
        }
        let mut prompt = String::new();
        std::io::stdin().read_to_string(&mut prompt)?;
        Ok(prompt)
    }

    fn start(
        &self,
        model: &Model,
        prompt: &str,
        options: &GenerateOptions,
    ) -> aic::quant::Result<Generation> {
        if !self.chat {
            return model.complete(prompt, options);
        }
        let system = self.system.iter().map(Message::system);
        let messages: Vec<Message> = system.chain([Message::user(prompt)]).collect();
        model.generate(&messages, options)
    }
}

fn finish(generation: &Generation) -> &'static str {
    match generation.finish_reason() {
        Some(FinishReason::Stop) => "stop",
        Some(FinishReason::Length) => "length",
        _ => "unfinished",
    }
}

fn report<'a>(generation: &Generation, text: &'a str) -> Report<'a> {
    let (usage, timings) = (generation.usage(), generation.timings());
    Report {
        text,
        finish: finish(generation),
        prompt_tokens: usage.prompt_tokens,
        output_tokens: usage.output_tokens,
        time_to_first_token_ms: timings.first_token.map(|time| time.as_secs_f64() * 1e3),
        tokens_per_second: timings.tokens_per_second,
    }
}

/// `[23 tokens in, 12 out, first after 31 ms, then 812 tokens/s]`
fn summary(generation: &Generation) -> String {
    let (usage, timings) = (generation.usage(), generation.timings());
    let first = timings.first_token.map(|time| format!(", first after {:.0} ms", time.as_secs_f64() * 1e3));
    let rate = timings.tokens_per_second.map(|rate| format!(", then {rate:.0} tokens/s"));
    format!(
        "[{} tokens in, {} out{}{}]",
        usage.prompt_tokens,
        usage.output_tokens,
        first.unwrap_or_default(),
        rate.unwrap_or_default()
    )
}
