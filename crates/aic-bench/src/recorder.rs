use std::collections::BTreeMap;
use std::time::Duration;

use crate::attempt::Sample;
use crate::distribution::Distribution;
use crate::report::{Load, Report};
use crate::slo::Slo;

/// Counts requests as they end; one for each worker, merged at the end.
///
/// The loops of this crate keep their own. It is public for loads that they do not offer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorder {
    slo: Option<Slo>,
    pub(crate) completed: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) dropped: u64,
    pub(crate) good: u64,
    pub(crate) output_tokens: u64,
    pub(crate) latency: Distribution,
    pub(crate) dispatch_delay: Distribution,
    pub(crate) ttft: Distribution,
    pub(crate) itl: Distribution,
    pub(crate) tpot: Distribution,
}

impl Recorder {
    /// A recorder without requests; it counts good ones if there is something they must keep.
    pub fn new(slo: Option<Slo>) -> Self {
        Self { slo, ..Self::default() }
    }

    /// Counts one request. The times of a failed one are left out of all distributions but the dispatch delay: a fast
    /// refusal is not a fast answer.
    pub fn record(&mut self, sample: &Sample) {
        self.dispatch_delay.record(sample.dispatch_delay());
        match &sample.outcome {
            Ok(()) => self.record_success(sample),
            Err(failure) => *self.failures.entry(failure.kind().to_owned()).or_default() += 1,
        }
    }

    /// Counts a request that was due and not sent.
    pub fn record_drop(&mut self) {
        self.dropped += 1;
    }

    /// Adds what another recorder has counted.
    pub fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.dropped += other.dropped;
        self.good += other.good;
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.dispatch_delay.merge(&other.dispatch_delay);
        self.ttft.merge(&other.ttft);
        self.itl.merge(&other.itl);
        self.tpot.merge(&other.tpot);
    }

    /// Closes the books on a run that took `elapsed`, warm-up left out.
    pub fn finish(self, load: Load, elapsed: Duration) -> Report {
        Report::new(load, elapsed, self.slo, self)
    }

    fn record_success(&mut self, sample: &Sample) {
        self.completed += 1;
        self.good += u64::from(self.slo.is_some_and(|slo| slo.is_kept_by(sample)));
        self.output_tokens = self.output_tokens.saturating_add(sample.outputs.tokens);
        self.latency.record(sample.latency());
        sample.ttft().into_iter().for_each(|ttft| self.ttft.record(ttft));
        sample.tpot().into_iter().for_each(|tpot| self.tpot.record(tpot));
        sample.outputs.gaps.iter().for_each(|&gap| self.itl.record(gap));
    }
}
