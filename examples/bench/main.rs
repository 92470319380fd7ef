//! Load on a pretended model in this process: first so many users who wait for their answers (closed loop), then
//! requests at a rate (open loop), and what a second copy of the model would change.
//!
//! The model is made up: it sleeps 20 ms, then sends 16 tokens about 5 ms apart, and serves four requests at once.
use std::{error::Error, sync::Arc, time::Duration};

use aic::bench::{ClosedLoop, OpenLoop, Slo, Target, compare, target_fn};
use clap::Parser;
use serde_json::json;
use tokio::{sync::Semaphore, time::sleep};

/// Measure a pretended model under load.
#[derive(Parser)]
struct Options {
    /// Users of the closed loop
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Requests a second of the open loop; the model can bear about 38
    #[arg(long, default_value_t = 36.0)]
    rate: f64,
    /// How long each of the three runs takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    sigpipe::reset();
    let options = Options::parse();
    let duration = Duration::try_from_secs_f64(options.seconds)?;
    let slo = Slo::default().ttft(Duration::from_millis(50)).latency(Duration::from_millis(200));
    let warm_up = Duration::from_millis(200);

    let closed = ClosedLoop::new(options.concurrency).duration(duration).warm_up(warm_up).slo(slo);
    let closed = closed.run(model(4)).await?;
    if !options.json {
        println!("{closed}");
    }
    let load = OpenLoop::new(options.rate).duration(duration).warm_up(warm_up).slo(slo).seed(1);
    let open = load.run(model(4)).await?;
    if !options.json {
        println!("{open}");
    }
    let two_copies = load.run(model(8)).await?;
    let change = compare(&open, &two_copies, 1)?;
    if options.json {
        let all = json!({ "closed": closed, "open": open, "two_copies": two_copies, "change": change });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        println!("with a second copy, {change}");
    }
    Ok(())
}

/// A model that serves so many requests at once; the others wait for their turn.
fn model(slots: usize) -> impl Target {
    let slots = Arc::new(Semaphore::new(slots));
    target_fn(move |_request, timeline| {
        let slots = slots.clone();
        async move {
            let _slot = slots.acquire().await.expect("the semaphore is never closed");
            sleep(Duration::from_millis(20)).await;
            for _ in 0..16 {
                timeline.tokens(1);
                sleep(Duration::from_millis(4)).await;
            }
            Ok(())
        }
    })
}
