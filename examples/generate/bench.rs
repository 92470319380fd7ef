//! `generate --bench`: how fast a model reads a prompt and writes an answer.
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use aic::quant::{GenerateOptions, Model};
use serde::Serialize;

use crate::bandwidth::read_bytes_per_second;
use crate::{Done, load, show};

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Measure instead of answering
    #[arg(long)]
    pub(crate) bench: bool,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, requires = "bench")]
    pp: usize,
    /// Tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 64, requires = "bench")]
    tg: usize,
    /// Tokens in the context before the answer begins
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bench")]
    depth: usize,
    /// Requests that are answered at the same time
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bench")]
    concurrent: usize,
    /// How often; medians are printed
    #[arg(long, value_name = "N", default_value_t = 5, requires = "bench")]
    repeat: usize,
}

#[derive(Serialize)]
struct Report {
    model: String,
    dtype: String,
    threads: usize,
    instructions: String,
    prompt_tokens: usize,
    prefill_tokens_per_second: f64,
    /// Of all requests together.
    decode_tokens_per_second: f64,
    concurrent: usize,
    depth: usize,
    load_seconds: f64,
    file_bytes: u64,
    weights_bytes: u64,
    /// Of the whole program, after the measurement.
    resident_bytes: Option<u64>,
    read_bytes_per_second: f64,
    /// Weights read while decoding, of what the machine can read.
    bandwidth_share: f64,
}

pub(crate) fn run(load: &load::Arguments, arguments: &Arguments, json: bool) -> Done {
    let started = Instant::now();
    let model = load.load(json)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let mut prefill = Vec::new();
    let mut decode = Vec::new();
    for _ in 0..arguments.repeat.max(1) {
        prefill.push(arguments.prefill(&model)?);
        decode.push(arguments.decode(&model)?);
    }
    let info = model.info();
    // Before the buffer of the next measurement.
    let resident_bytes = show::resident_bytes();
    let read = read_bytes_per_second(model.threads());
    let decode = median(decode);
    let passes = decode / arguments.concurrent.max(1) as f64;
    let report = Report {
        model: load.model()?.display().to_string(),
        dtype: info.dtype.to_string(),
        threads: model.threads(),
        instructions: model.instructions().map_or("device".to_owned(), |set| set.to_string()),
        prompt_tokens: arguments.pp,
        prefill_tokens_per_second: median(prefill),
        decode_tokens_per_second: decode,
        concurrent: arguments.concurrent,
        depth: arguments.depth,
        load_seconds,
        file_bytes: info.file_bytes,
        weights_bytes: info.resident_bytes,
        resident_bytes,
        read_bytes_per_second: read,
        bandwidth_share: passes * info.active_bytes as f64 / read,
    };
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

impl Arguments {
    /// Tokens of prompt a second.
    fn prefill(&self, model: &Model) -> aic::quant::Result<f64> {
        let mut answer = model.complete_tokens(&tokens(model, self.pp), &options(1))?;
        answer.text()?;
        Ok(self.pp as f64 / seconds(answer.timings().prefill))
    }

    /// Tokens of answers a second, after the first of each.
    fn decode(&self, model: &Model) -> aic::quant::Result<f64> {
        std::thread::scope(|scope| {
            let one = || -> aic::quant::Result<f64> {
                let prompt = tokens(model, self.depth.max(1));
                let mut answer = model.complete_tokens(&prompt, &options(self.tg + 1))?;
                answer.by_ref().try_for_each(|piece| piece.map(drop))?;
                Ok(self.tg as f64 / seconds(Some(answer.timings().decode)))
            };
            let requests: Vec<_> = (0..self.concurrent.max(1)).map(|_| scope.spawn(one)).collect();
            requests.into_iter().map(|request| request.join().expect("no request panics")).sum()
        })
    }
}

/// Tokens that no other call has had, so that nothing is found in the cache of prefixes.
fn tokens(model: &Model, count: usize) -> Vec<u32> {
    let random = RandomState::new();
    let vocabulary = model.info().vocabulary as u64;
    (0..count).map(|i| (random.hash_one(i) % vocabulary) as u32).collect()
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, temperature: 0.0, ignore_end: true, ..GenerateOptions::default() }
}

fn seconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64().max(1e-9)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Report {
    fn table(&self) -> String {
        let rows = [
            ("prefill", format!("{:.1} tokens/s", self.prefill_tokens_per_second)),
            ("decode", format!("{:.1} tokens/s", self.decode_tokens_per_second)),
            (
                "reads",
                format!(
                    "{:.1} % of {:.1} GB/s",
                    100.0 * self.bandwidth_share,
                    self.read_bytes_per_second / 1e9
                ),
            ),
            ("loaded in", format!("{:.2} s", self.load_seconds)),
            (
                "weights",
                format!("{}, in the file {}", show::size(self.weights_bytes), show::size(self.file_bytes)),
            ),
            ("resident", self.resident_bytes.map_or("unknown".to_owned(), show::size)),
        ];
        let head = format!("{}, {} threads, {}\n", self.dtype, self.threads, self.instructions);
        rows.iter().fold(head, |all, (name, value)| all + &format!("  {name:<10} {value}\n"))
    }
}
