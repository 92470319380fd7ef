//! This engine.
use std::path::Path;
use std::thread;
use std::time::Instant;

use aic_quant::{DType, GenerateOptions, Model, Result, ServeOptions};

use crate::options::{Options, median, resident_bytes};
use crate::{Done, Figures, random_model};

pub(crate) fn run(path: &Path, options: &Options) -> Result<Figures> {
    let before = resident_bytes();
    let model = load(path, options)?;
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for round in 0..options.repeat {
        let mut answer = model.complete_tokens(&tokens(options.prompt, round), &answer(1))?;
        answer.text()?;
        prefill.push(options.prompt as f64 / answer.timings().prefill.unwrap_or_default().as_secs_f64());
        decode.push(decode_rate(&model, options, round)?);
    }
    let resident_bytes = resident_bytes().saturating_sub(before);
    Ok(Figures { prefill: median(prefill), decode: median(decode), resident_bytes })
}

/// Answers at the same time, and answers that begin alike.
pub(crate) fn concurrency(options: &Options) -> Done<()> {
    let file = random_model::create(DType::Q4_K, options)?;
    let model = load(&file.path(), options)?;
    let alone = decode_rate(&model, options, 100)?;
    println!("# Q4_K, answers at the same time: tokens/s of all together");
    println!("#   1: {alone:.1}");
    for requests in [2, 4, 8] {
        let all = together(&model, options, requests)?;
        println!("#   {requests}: {all:.1}, {:.1} times as many", all / alone);
    }
    let prefix = tokens(if options.short { 64 } else { 1000 }, 7);
    let first = |tail: u32| {
        let mut prompt = prefix.clone();
        prompt.extend([tail, tail + 1, tail + 2]);
        let mut answer = model.complete_tokens(&prompt, &answer(1))?;
        answer.text()?;
        Ok::<f64, aic_quant::Error>(answer.timings().first_token.unwrap_or_default().as_secs_f64())
    };
    let (cold, warm) = (first(10)?, first(20)?);
    println!(
        "# a prompt of {} tokens begins after {:.1} ms; one that begins alike after {:.2} ms, {:.0} times sooner",
        prefix.len() + 3,
        cold * 1e3,
        warm * 1e3,
        cold / warm
    );
    Ok(())
}

fn load(path: &Path, options: &Options) -> Result<Model> {
    Model::options()
        .threads(options.threads)
        .instructions(options.instructions)
        .serving(ServeOptions::default())
        .open(path)
}

fn decode_rate(model: &Model, options: &Options, round: usize) -> Result<f64> {
    let mut made = model.complete_tokens(&tokens(1, round), &answer(options.answer + 1))?;
    made.by_ref().try_for_each(|piece| piece.map(drop))?;
    Ok(options.answer as f64 / made.timings().decode.as_secs_f64())
}

fn together(model: &Model, options: &Options, requests: usize) -> Result<f64> {
    let started = Instant::now();
    thread::scope(|scope| {
        let one = |round| move || decode_rate(model, options, round).map(drop);
        let all: Vec<_> = (0..requests).map(|round| scope.spawn(one(round))).collect();
        all.into_iter().try_for_each(|request| request.join().expect("no request panics"))
    })?;
    Ok((requests * options.answer) as f64 / started.elapsed().as_secs_f64())
}

/// Tokens that differ from round to round, so that no prompt begins like another.
fn tokens(count: usize, round: usize) -> Vec<u32> {
    (0..count).map(|i| ((i + 1) * 7919 + round * 104_729) as u32 % 32_000).collect()
}

fn answer(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, temperature: 0.0, ignore_end: true, ..GenerateOptions::default() }
}
