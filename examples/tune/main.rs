//! Tunes a real computation, a blocked matrix product, by its loop order and block sizes: at random and by TPE, with the
//! same number of trials. The winner is then tried beside the plain setting, and kept only if it really is faster.
//!
//! `cargo run --release --bin tune`; the two searches differ a little from run to run, as measurements do.
mod matrix;

use std::{error::Error, sync::Mutex};

use aic::tuner::{
    BoxError, Configuration, Direction, Finished, Guardrail, Metrics, Random, SafeApply, Sampler,
    SearchSpace, Study, Tpe,
};
use clap::Parser;
use serde_json::json;

/// Tune a matrix product by random search and by TPE.
#[derive(Parser)]
struct Options {
    /// Rows and columns of the matrices; fewer by default in a debug build, which is slow
    #[arg(long, default_value_t = if cfg!(debug_assertions) { 64 } else { 256 })]
    size: usize,
    /// Trials of each search
    #[arg(long, default_value_t = 40)]
    trials: usize,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    sigpipe::reset();
    let options = Options::parse();
    let random = search(&options, Random).await?;
    let tpe = search(&options, Tpe::new()).await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "random": random, "tpe": tpe }))?);
        return Ok(());
    }
    println!("best so far, in ms, of a product of {0} x {0} matrices", options.size);
    plot(&random, &tpe);
    let best =
        [&random, &tpe].into_iter().filter_map(|trials| best_of(trials)).min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, winner) = best.ok_or("no trial could be measured")?;
    println!("winner: {winner}");
    promote(options.size, winner.clone()).await
}

/// The setting that is in use before anything was tuned.
fn plain() -> Configuration {
    Configuration::new().with("order", "ijk").with("block", 16).with("depth", 16)
}

async fn search(options: &Options, sampler: impl Sampler) -> aic::tuner::Result<Vec<Finished>> {
    let space = SearchSpace::builder()
        .categorical("order", ["ijk", "ikj", "kij"])
        .log_int("block", 4..=256)
        .log_int("depth", 4..=256)
        .build()?;
    let mut study = Study::builder(space).sampler(sampler).seed(1).build();
    study.enqueue(plain())?;
    study
        .optimize(|tried: Configuration| async move { matrix::measure(options.size, &tried) }, options.trials)
        .await;
    Ok(study.finished().to_vec())
}

/// Keeps the winner if it takes at most nine tenths of the plain setting's time.
async fn promote(size: usize, winner: Configuration) -> Result<(), Box<dyn Error>> {
    let in_use = Mutex::new(plain());
    let put_in_use = |setting: &Configuration| {
        in_use.lock().expect("nobody panics with the lock").clone_from(setting);
        Ok(())
    };
    let faster = Guardrail::new("milliseconds", Direction::Minimize).tolerance(-0.1);
    let mut safely = SafeApply::builder(plain(), put_in_use).guardrail(faster).window(8).build()?;
    let observe = || async {
        let setting = in_use.lock().expect("nobody panics with the lock").clone();
        Ok::<_, BoxError>(Metrics::from([("milliseconds".to_owned(), matrix::measure(size, &setting)?)]))
    };
    let decision = safely.try_out(winner, observe).await?;
    println!("beside the plain setting: {decision:?}; in use now: {}", safely.accepted());
    Ok(())
}

fn best_of(trials: &[Finished]) -> Option<(f64, &Configuration)> {
    let valued = trials.iter().filter_map(|trial| Some((trial.outcome.value()?, &trial.configuration)));
    valued.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// A line for every few trials, a bar for each search.
fn plot(random: &[Finished], tpe: &[Finished]) {
    let after =
        |trials: &[Finished], count: usize| best_of(&trials[..count]).map_or(f64::NAN, |(value, _)| value);
    let longest = after(random, 1).max(after(tpe, 1));
    let bar = |value: f64| "█".repeat(((value / longest) * 24.0).ceil() as usize);
    println!("{:>6}  {:<33} TPE", "trials", "random");
    for count in (0..).map(|step| 1 << step).take_while(|&count| count < random.len()).chain([random.len()]) {
        let (left, right) = (after(random, count), after(tpe, count));
        println!("{count:>6}  {left:>7.3} {:<25} {right:>7.3} {}", bar(left), bar(right));
    }
}
