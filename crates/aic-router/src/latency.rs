use std::time::Duration;

use serde::Serialize;

use crate::sketch::Sketch;
use crate::{ProviderKind, Usage};

/// What older calls count beside the newest: half with every 32 calls.
pub(crate) const KEEP: f64 = 0.978_572_062_087_700_1;
/// How many calls the prior is worth.
const PRIOR_WORTH: f64 = 2.0;
/// From so many tokens on, it is the reading of the question that takes the time to the first content.
const LONG_QUESTION: u64 = 1024;
/// How long a cold model takes to load, in the middle and at worst. By hand; learned from the first cold call on.
const LOADING: Span = Span { p50: 10.0, p95: 20.0 };

/// A median and a 95th percentile, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

/// How long a whole answer is expected to take, from the request to the last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExpectedLatency {
    /// At most so long in one case of two.
    pub p50: Duration,
    /// At most so long in 19 cases of 20.
    pub p95: Duration,
    /// Whether calls were measured for it; else it is a prior by where the provider runs.
    pub measured: bool,
}

/// What a call has to do before its first content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Tokens to be read, those the provider likely has in its prompt cache left out.
    pub(crate) reads: u64,
    /// Tokens of the question that went to the same model a short while ago.
    pub(crate) known: u64,
    /// Whether the model must be loaded first.
    pub(crate) cold: bool,
}

/// How quickly a model answers, learned from its calls.
///
/// Measured to the first *content* and to the end of the body, never to the headers: a server that fails
/// quickly or opens a stream and then thinks would look best. Four things are kept apart: the first content of
/// short questions, reading per token of long ones, loading of cold models, and writing per token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    first_content: Measured,
    reading: Measured,
    loading: Measured,
    writing: Measured,
}

impl Latency {
    /// Takes in how long the first content took.
    pub(crate) fn first_content(&mut self, after: Duration, work: Work) {
        let seconds = after.as_secs_f64();
        if work.cold {
            // Its own time is in it too: small beside the loading, and not known apart from it.
            self.loading.observe(seconds);
        } else if work.reads < LONG_QUESTION {
            self.first_content.observe(seconds);
        } else {
            self.reading.observe(seconds / work.reads as f64);
        }
    }

    /// Takes in how long the rest of an answer took. Thoughts came before, and under two tokens say nothing.
    pub(crate) fn body(&mut self, took: Duration, usage: Usage) {
        let written = usage.output.saturating_sub(usage.reasoning.unwrap_or(0));
        if written >= 2 {
            self.writing.observe(took.as_secs_f64() / (written - 1) as f64);
        }
    }

    /// Makes everything seen count `keep` times as much beside the priors.
    pub(crate) fn fade(&mut self, keep: f64) {
        for measured in [&mut self.first_content, &mut self.reading, &mut self.loading, &mut self.writing] {
            measured.sketch.fade(keep);
        }
    }

    pub(crate) fn is_measured(&self) -> bool {
        self.first_content.sketch.total() + self.reading.sketch.total() > 0.0
    }

    /// The median time to the first content of short questions, in seconds.
    pub(crate) fn first_content_seconds(&self) -> Option<f64> {
        self.first_content.span.or(self.loading.span).map(|span| span.p50)
    }

    /// The time to the first content of short questions at the percentile `q`, and of how many calls it was
    /// learned, older ones counted less.
    pub(crate) fn first_content_at(&self, q: f64) -> (Option<Duration>, u64) {
        let sketch = &self.first_content.sketch;
        (sketch.quantile(q).map(Duration::from_secs_f64), sketch.total() as u64)
    }

    /// How many tokens are written per second, in the middle.
    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        self.writing.span.map(|span| 1.0 / span.p50)
    }

    /// How long an answer of `tokens` would take.
    ///
    /// The percentiles of the parts are added up, as if a slow start always came with slow writing; where they
    /// are independent, the sum's p95 is lower. An estimate on the safe side.
    pub(crate) fn predict(&self, work: Work, tokens: u64, kind: ProviderKind) -> Span {
        let prior = priors(kind);
        let first = self.first_content.beside(prior.first_content);
        let reading = self.reading.beside(prior.reading).times(work.reads as f64);
        let start = if work.reads < LONG_QUESTION { first } else { first.greater(reading) };
        let loading = if work.cold { self.loading.beside(LOADING) } else { Span { p50: 0.0, p95: 0.0 } };
        start.plus(loading).plus(self.writing.beside(prior.writing).times(tokens as f64))
    }
}

/// A sketch with its percentiles at hand: they are read far more often than they change.
#[derive(Clone, Debug, Default)]
struct Measured {
    sketch: Sketch,
    span: Option<Span>,
}

impl Measured {
    fn observe(&mut self, seconds: f64) {
        self.sketch.fade(KEEP);
        self.sketch.observe(seconds);
        self.span =
            self.sketch.quantile(0.5).zip(self.sketch.quantile(0.95)).map(|(p50, p95)| Span { p50, p95 });
    }

    /// What was measured, mixed with the prior on a logarithmic scale by how many calls each is worth.
    fn beside(&self, prior: Span) -> Span {
        let Some(span) = self.span else { return prior };
        let share = self.sketch.total() / (self.sketch.total() + PRIOR_WORTH);
        let mix = |prior: f64, seen: f64| prior.powf(1.0 - share) * seen.powf(share);
        Span { p50: mix(prior.p50, span.p50), p95: mix(prior.p95, span.p95) }
    }
}

impl Span {
    fn plus(self, other: Self) -> Self {
        Self { p50: self.p50 + other.p50, p95: self.p95 + other.p95 }
    }

    fn greater(self, other: Self) -> Self {
        Self { p50: self.p50.max(other.p50), p95: self.p95.max(other.p95) }
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self { p50: self.p50 * factor, p95: self.p95 * factor }
    }
}

struct Priors {
    first_content: Span,
    reading: Span,
    writing: Span,
}

/// What is believed before any call was seen: set by hand, with tails twice the median.
fn priors(kind: ProviderKind) -> Priors {
    let twice = |p50: f64| Span { p50, p95: 2.0 * p50 };
    match kind {
        ProviderKind::Local => {
            Priors { first_content: twice(1.0), reading: twice(0.001), writing: twice(0.05) }
        }
        ProviderKind::Cloud => {
            Priors { first_content: twice(0.8), reading: twice(0.000_1), writing: twice(0.015) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Work = Work { reads: 10, known: 0, cold: false };
    const LONG: Work = Work { reads: 10_000, known: 0, cold: false };
    const COLD: Work = Work { reads: 10, known: 0, cold: true };

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() <= 0.1 * right
    }

    #[test]
    fn prior_holds_until_calls_were_seen_and_fades_with_each() {
        let mut latency = Latency::default();
        assert_eq!(latency.predict(SHORT, 10, ProviderKind::Local), Span { p50: 1.5, p95: 3.0 });
        assert!(!latency.is_measured());

        let usage = Usage { output: 11, ..Usage::default() };
        for _ in 0..200 {
            latency.first_content(Duration::from_secs(3), SHORT);
            latency.body(Duration::from_secs(2), usage);
        }

        let Span { p50, p95 } = latency.predict(SHORT, 10, ProviderKind::Local);
        assert!(near(p50, 5.0) && near(p95, 5.0), "{p50} {p95}");
        assert!(near(latency.tokens_per_second().unwrap(), 5.0) && latency.is_measured());
    }

    #[test]
    fn long_questions_take_their_time_to_be_read() {
        let mut latency = Latency::default();
        for _ in 0..100 {
            latency.first_content(Duration::from_secs(1), SHORT);
            latency.first_content(Duration::from_secs(20), LONG);
        }

        assert!(near(latency.predict(SHORT, 0, ProviderKind::Local).p50, 1.0));
        assert!(near(latency.predict(LONG, 0, ProviderKind::Local).p50, 20.0));
        let half = Work { reads: 5_000, ..LONG };
        assert!(near(latency.predict(half, 0, ProviderKind::Local).p50, 10.0));
    }

    #[test]
    fn loading_is_charged_to_cold_models_only_and_learned_from_them() {
        let mut latency = Latency::default();
        let warm = latency.predict(SHORT, 0, ProviderKind::Local);
        assert_eq!(latency.predict(COLD, 0, ProviderKind::Local).p50, warm.p50 + 10.0);

        (0..100).for_each(|_| latency.first_content(Duration::from_secs(60), COLD));

        assert_eq!(latency.predict(SHORT, 0, ProviderKind::Local), warm);
        let cold = latency.predict(COLD, 0, ProviderKind::Local).p50;
        assert!((50.0..65.0).contains(&cold), "{cold}");
    }

    #[test]
    fn thoughts_are_not_counted_as_written_after_the_first_content() {
        let mut latency = Latency::default();
        let usage = Usage { output: 1_011, reasoning: Some(1_000), ..Usage::default() };

        latency.body(Duration::from_secs(2), usage);

        assert!(near(latency.tokens_per_second().unwrap(), 5.0));
    }

    #[test]
    fn what_was_measured_long_ago_gives_way_to_the_prior() {
        let mut latency = Latency::default();
        (0..50).for_each(|_| latency.first_content(Duration::from_secs(60), SHORT));

        (0..40).for_each(|_| latency.fade(0.5));

        assert!(near(latency.predict(SHORT, 0, ProviderKind::Cloud).p95, 1.6));
    }
}
