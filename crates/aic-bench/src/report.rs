use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::Arrivals;
use crate::distribution::{Distribution, samples_needed};
use crate::pretty;
use crate::recorder::Recorder;
use crate::slo::Slo;

/// The load a report was taken under.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Load {
    /// So many users, each waiting for its answer.
    Closed {
        /// Requests under way at once.
        concurrency: usize,
    },
    /// Requests at a rate.
    Open {
        /// Requests due each second.
        rate: f64,
        /// How they follow each other.
        arrivals: Arrivals,
    },
}

/// What came out of a run. [`Display`](fmt::Display) prints a table and the shape of the latencies.
///
/// The warm-up is in none of the numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The load.
    pub load: Load,
    /// From the end of the warm-up to the end of the last request, or of the time set, whichever came later.
    pub elapsed: Duration,
    /// Requests that ended well.
    pub completed: u64,
    /// Requests that failed, by kind.
    pub failures: BTreeMap<String, u64>,
    /// Requests that were due in an open loop and not sent, because too many were under way.
    pub dropped: u64,
    /// Output tokens of the requests that ended well.
    pub output_tokens: u64,
    /// What a good request keeps, if anything was asked.
    pub slo: Option<Slo>,
    /// Requests that ended well and kept it; `None` if nothing was asked.
    pub good: Option<u64>,
    /// From the intended start to the end.
    pub latency: Distribution,
    /// From the intended to the real start.
    pub dispatch_delay: Distribution,
    /// From the intended start to the first output.
    pub ttft: Distribution,
    /// Gaps between two outputs, over all requests.
    pub itl: Distribution,
    /// Time after the first output for each further token, one value a request.
    pub tpot: Distribution,
}

impl Report {
    pub(crate) fn new(load: Load, elapsed: Duration, slo: Option<Slo>, counted: Recorder) -> Self {
        Self {
            load,
            elapsed,
            completed: counted.completed,
            failures: counted.failures,
            dropped: counted.dropped,
            output_tokens: counted.output_tokens,
            slo,
            good: slo.map(|_| counted.good),
            latency: counted.latency,
            dispatch_delay: counted.dispatch_delay,
            ttft: counted.ttft,
            itl: counted.itl,
            tpot: counted.tpot,
        }
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests that ended well, per second; `None` if no time passed.
    pub fn requests_per_second(&self) -> Option<f64> {
        self.per_second(self.completed)
    }

    /// Output tokens per second, over all requests; `None` if no time passed.
    pub fn tokens_per_second(&self) -> Option<f64> {
        self.per_second(self.output_tokens)
    }

    /// Good requests per second; `None` if no time passed or nothing was asked of them.
    pub fn goodput(&self) -> Option<f64> {
        self.per_second(self.good?)
    }

    /// Why the latencies of an open loop should not be trusted, in words; empty if they may be.
    ///
    /// More than 2 % of the due requests were dropped, or the slowest 1 % of the starts were later than 5 % of the
    /// median latency: then the load generator was measured, not the target.
    pub fn warnings(&self) -> Vec<String> {
        let Load::Open { .. } = self.load else { return Vec::new() };
        [self.drop_warning(), self.delay_warning()].into_iter().flatten().collect()
    }

    fn drop_warning(&self) -> Option<String> {
        let due = self.dropped + self.completed + self.failed();
        let percent = self.dropped as f64 * 100.0 / due as f64;
        (percent > 2.0)
            .then(|| format!("{percent:.1}% of the due requests were not sent: too many under way"))
    }

    fn delay_warning(&self) -> Option<String> {
        let (delay, median) = (self.dispatch_delay.quantile(0.99)?, self.latency.median()?);
        (delay > median / 20).then(|| {
            let [delay, median] = [delay, median].map(pretty::duration);
            format!("requests started late: p99 {delay} beside a median latency of {median}")
        })
    }

    fn per_second(&self, count: u64) -> Option<f64> {
        (!self.elapsed.is_zero()).then(|| count as f64 / self.elapsed.as_secs_f64())
    }

    /// The percentiles of the table that have too few samples behind them.
    fn unsupported(&self) -> Vec<String> {
        let shares = pretty::PERCENTILES.into_iter().filter(|(_, share)| !self.latency.supports(*share));
        shares.map(|(name, share)| format!("{name} needs {}", samples_needed(share))).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.load, pretty::duration(self.elapsed))?;
        self.fmt_counts(f)?;
        pretty::table(f, self)?;
        if self.latency.count() > 0 {
            write!(f, "latency\n{}", self.latency)?;
        }
        let unsupported = self.unsupported();
        if self.completed > 0 && !unsupported.is_empty() {
            writeln!(f, "~ too few requests: {}", unsupported.join(", "))?;
        }
        self.warnings().iter().try_for_each(|warning| writeln!(f, "! {warning}"))
    }
}

impl Report {
    fn fmt_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended well, {} failed, {} dropped", self.completed, self.failed(), self.dropped)?;
        if let Some(rate) = self.requests_per_second() {
            write!(f, "; {rate:.1} requests/s")?;
        }
        if let Some(rate) = self.tokens_per_second().filter(|_| self.output_tokens > 0) {
            write!(f, ", {rate:.1} tokens/s")?;
        }
        if let Some(goodput) = self.goodput() {
            write!(f, ", goodput {goodput:.1}/s")?;
        }
        writeln!(f)?;
        self.failures.iter().try_for_each(|(kind, count)| writeln!(f, "  failed: {kind} {count}"))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { concurrency } => write!(f, "closed loop, {concurrency} at once"),
            Self::Open { rate, arrivals: Arrivals::Poisson } => write!(f, "open loop, {rate}/s at random"),
            Self::Open { rate, arrivals: Arrivals::Constant } => write!(f, "open loop, {rate}/s evenly"),
        }
    }
}
