//! Filling a cache ahead of its use, within a budget.
//!
//! ```
//! use std::time::Duration;
//!
//! use aic_cache::{Answer, Cache, CacheControl, Computed, Fingerprint, MemoryStore, Tenant, Worth};
//! use aic_cache::warm::{Outcome, Warming};
//!
//! # async fn ask(question: &str) -> std::io::Result<String> { Ok(question.to_uppercase()) }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let cache = Cache::<String>::builder(MemoryStore::new(1 << 20)).build();
//! let questions = ["why is the sky blue?", "what is a monad?", "why is the sky blue?"];
//!
//! let warmed = Warming::new()
//!     .concurrency(2)
//!     .rate(600, Duration::from_secs(60))
//!     .budget_nano_usd(5_000_000_000)
//!     .on_progress(|progress| println!("{progress}"))
//!     .run(questions, |question| {
//!         let cache = &cache;
//!         async move {
//!             let key = Fingerprint::of("faq 1", &Tenant::default(), question).unwrap();
//!             let compute = || async { ask(question).await.map(Computed::Store) };
//!             match cache.get_or_try_compute(&key, &CacheControl::new(), compute).await {
//!                 Ok(Answer::Hit(_)) => Outcome::Known,
//!                 Ok(Answer::Computed(_)) => {
//!                     Outcome::Computed(Worth { tokens: Some(40), nano_usd: Some(24_000_000) })
//!                 }
//!                 Err(error) => Outcome::Failed(error.into()),
//!             }
//!         }
//!     })
//!     .await;
//!
//! assert_eq!((warmed.progress.computed, warmed.progress.known), (2, 1));
//! println!("{warmed}"); // 3 of 3 in 201 ms: 1 known, 2 computed, 0 failed; 80 tokens, $0.0480; all were done
//! # }
//! ```

mod ledger;
mod lines;
mod pace;
mod report;

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, FuturesUnordered, Peekable},
};
use tokio::time::{Instant, sleep_until};

use self::{
    ledger::{Gate, Ledger},
    pace::Pace,
};
pub use self::{
    lines::lines,
    report::{End, Progress, Warmed},
};
use crate::{BoxError, Worth};

/// What became of one prompt.
#[derive(Debug)]
pub enum Outcome {
    /// The cache had the answer.
    Known,
    /// The answer was computed, at this price.
    Computed(Worth),
    /// There is no answer. What the attempt may have cost is not known and not counted.
    Failed(BoxError),
}

/// Fills a cache ahead of its use: how many prompts at a time, how quickly, and for how much.
///
/// What one prompt is and how it is answered is up to the caller; usually a call of
/// [`Cache::get_or_try_compute`](crate::Cache::get_or_try_compute). What is known already costs next to nothing,
/// so a warming that broke off goes on by being run again.
#[must_use = "a warming does nothing until it is run"]
pub struct Warming<'a> {
    limits: Limits,
    interval: Duration,
    on_progress: Box<dyn FnMut(&Progress) + Send + 'a>,
}

/// What a warming must keep within. `None` where there is no limit.
#[derive(Clone, Copy, Debug)]
struct Limits {
    concurrency: usize,
    entries: Option<u64>,
    nano_usd: Option<u64>,
    tokens: Option<u64>,
    failures: u32,
}

impl Default for Warming<'_> {
    fn default() -> Self {
        let limits = Limits { concurrency: 4, entries: None, nano_usd: None, tokens: None, failures: 10 };
        Self { limits, interval: Duration::ZERO, on_progress: Box::new(|_| ()) }
    }
}

impl<'a> Warming<'a> {
    /// Four prompts at a time, as quickly as they are answered, until there are none left.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many prompts are worked on at the same time; 0 counts as 1.
    ///
    /// Defaults to 4.
    pub fn concurrency(mut self, prompts: usize) -> Self {
        self.limits.concurrency = prompts.max(1);
        self
    }

    /// At most so many prompts in each stretch of time; 0 counts as 1. They begin at equal distances, and after
    /// a stall nothing is caught up on. What turns out to be [known](Outcome::Known) makes room for the next at
    /// once. Rates beyond some hundred a second are not reached, since timers count in milliseconds.
    ///
    /// Defaults to no limit.
    pub fn rate(mut self, prompts: u32, per: Duration) -> Self {
        self.interval = per / prompts.max(1);
        self
    }

    /// The most answers that are computed. Never exceeded.
    ///
    /// Defaults to no limit.
    pub fn limit_entries(mut self, entries: u64) -> Self {
        self.limits.entries = Some(entries);
        self
    }

    /// The most that may be spent, in billionths of a dollar.
    ///
    /// A prompt begins only if the mean price so far is left for it and for each one being worked on; the first
    /// price is learned from one prompt alone. So the budget is exceeded only where the last prompts are dearer
    /// than the mean, and never by more than one price for each of those worked on
    /// [at the same time](Self::concurrency). An answer whose price is not known ends the warming.
    ///
    /// Defaults to no limit.
    pub fn budget_nano_usd(mut self, nano_usd: u64) -> Self {
        self.limits.nano_usd = Some(nano_usd);
        self
    }

    /// The most tokens that may be used, in the same way as [money](Self::budget_nano_usd).
    ///
    /// Defaults to no limit.
    pub fn budget_tokens(mut self, tokens: u64) -> Self {
        self.limits.tokens = Some(tokens);
        self
    }

    /// After so many failures in a row no further prompt begins; 0 counts as 1.
    ///
    /// Defaults to 10.
    pub fn failures_in_a_row(mut self, failures: u32) -> Self {
        self.limits.failures = failures.max(1);
        self
    }

    /// Is called after each prompt. Should return quickly, for the other prompts wait meanwhile.
    ///
    /// Defaults to nothing.
    pub fn on_progress(mut self, call: impl FnMut(&Progress) + Send + 'a) -> Self {
        self.on_progress = Box::new(call);
        self
    }

    /// Works through `prompts`. Needs a tokio runtime with time.
    ///
    /// All prompts are worked on in the task that polls this, none is spawned. When a limit is reached, those
    /// that have begun are still completed.
    ///
    /// # Cancel safety
    /// Dropping the future drops what is being worked on. What was stored is stored.
    pub async fn run<P, F, Fut>(self, prompts: impl IntoIterator<Item = P>, work: F) -> Warmed
    where
        F: FnMut(P) -> Fut,
        Fut: Future<Output = Outcome>,
    {
        self.run_stream(stream::iter(prompts), work).await
    }

    /// The same for prompts that are themselves waited for.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_stream<P, F, Fut>(mut self, prompts: impl Stream<Item = P>, mut work: F) -> Warmed
    where
        F: FnMut(P) -> Fut,
        Fut: Future<Output = Outcome>,
    {
        let mut ledger = Ledger::new(self.limits, total(prompts.size_hint()), Instant::now());
        let mut prompts = pin!(prompts.enumerate().peekable());
        let (mut pace, mut running) = (Pace::new(self.interval), FuturesUnordered::new());
        loop {
            let gate = ledger.gate(running.len());
            if running.is_empty() {
                let none_left = matches!(prompts.as_mut().peek().now_or_never(), Some(None));
                match gate {
                    _ if none_left => return ledger.close(End::Complete, Instant::now()),
                    Gate::Shut(end) => return ledger.close(end, Instant::now()),
                    Gate::Open | Gate::Wait => {}
                }
            }
            tokio::select! {
                biased;
                Some((number, outcome)) = running.next() => {
                    pace.finished(number, &outcome);
                    ledger.finished(outcome);
                    (self.on_progress)(&ledger.progress(Instant::now()));
                }
                Some((number, prompt)) = next(prompts.as_mut(), pace.due()), if gate == Gate::Open => {
                    pace.started(number, Instant::now());
                    let work = work(prompt);
                    running.push(async move { (number, work.await) });
                }
                else => {} // There are no more prompts, which the next round finds out.
            }
        }
    }
}

/// The next prompt, not before `due`. That there is none is known at once.
async fn next<S: Stream>(mut prompts: Pin<&mut Peekable<S>>, due: Option<Instant>) -> Option<S::Item> {
    prompts.as_mut().peek().await?;
    if let Some(due) = due {
        sleep_until(due).await;
    }
    prompts.next().await
}

/// How many prompts there are, if that can be told.
fn total((least, most): (usize, Option<usize>)) -> Option<u64> {
    most.filter(|most| *most == least).and_then(|total| u64::try_from(total).ok())
}

impl fmt::Debug for Warming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warming")
            .field("limits", &self.limits)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
