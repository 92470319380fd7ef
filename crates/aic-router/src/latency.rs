use std::time::Duration;

use crate::Usage;

/// The weight of the newest observation: about the last ten calls count.
const ALPHA: f64 = 0.2;

/// An exponentially weighted moving average; the first observation is taken whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ewma(Option<f64>);

impl Ewma {
    pub(crate) fn observe(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |mean| mean + ALPHA * (value - mean)));
    }

    pub(crate) fn get(self) -> Option<f64> {
        self.0
    }
}

/// How quickly a model answers, learned from its calls.
///
/// Measured to the first *content* and to the end of the body, never to the headers: a server that fails
/// quickly or opens a stream and then thinks would look best.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    first_content: Ewma,
    seconds_per_token: Ewma,
}

impl Latency {
    pub(crate) fn first_content(&mut self, after: Duration) {
        self.first_content.observe(after.as_secs_f64());
    }

    /// Takes in how long the rest of an answer took. Answers of under two tokens say nothing.
    pub(crate) fn body(&mut self, took: Duration, usage: Usage) {
        if usage.output >= 2 {
            self.seconds_per_token.observe(took.as_secs_f64() / (usage.output - 1) as f64);
        }
    }

    pub(crate) fn first_content_seconds(&self) -> Option<f64> {
        self.first_content.get()
    }

    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        self.seconds_per_token.get().filter(|seconds| *seconds > 0.0).map(|seconds| 1.0 / seconds)
    }

    /// How long an answer of `tokens` would take in seconds, with `prior` standing in for what is not known.
    pub(crate) fn predict(&self, tokens: u64, prior: (f64, f64)) -> f64 {
        let first = self.first_content.get().unwrap_or(prior.0);
        let each = self.seconds_per_token.get().unwrap_or(prior.1);
        first + each * tokens as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prediction_uses_the_prior_until_calls_were_seen() {
        let mut latency = Latency::default();
        assert_eq!(latency.predict(10, (1.0, 0.1)), 2.0);

        latency.first_content(Duration::from_secs(3));
        latency.body(Duration::from_secs(2), Usage { output: 11, ..Usage::default() });

        assert_eq!(latency.predict(10, (1.0, 0.1)), 5.0);
        assert_eq!(latency.tokens_per_second(), Some(5.0));
    }

    proptest! {
        #[test]
        fn average_stays_between_the_least_and_the_greatest(values in proptest::collection::vec(0.0..1e6, 1..50)) {
            let mut average = Ewma::default();
            values.iter().for_each(|value| average.observe(*value));

            let (low, high) = values.iter().fold((f64::MAX, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
            let mean = average.get().unwrap();
            prop_assert!(mean >= low - 1e-6 && mean <= high + 1e-6);
        }
    }
}
