//! The ranges that a model's values have on samples.
use std::collections::HashMap;
use std::path::Path;

use crate::onnx::draft::Draft;
use crate::onnx::{SessionOptions, Tensor, Values};
use crate::{Error, Result};

/// Steps that a histogram divides its range into, on either side of zero.
const BINS: usize = 2048;

/// Samples of a model's inputs, from which [`StaticInt8`](super::Scheme::StaticInt8) learns the ranges of its values.
///
/// A few dozen that are like those to come are enough. The model runs once for each.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Calibration {
    samples: Vec<Vec<Tensor>>,
    percentile: f64,
    options: SessionOptions,
}

/// The least and the greatest value met, zero included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Calibration {
    /// Each sample has all inputs of the model.
    pub fn new(samples: Vec<Vec<Tensor>>) -> Self {
        Self { samples, percentile: 100.0, options: SessionOptions::new() }
    }

    /// The part of each value's numbers, in percent, that its range holds; the rest, half of it on either side, is cut off.
    /// 100 takes the least and the greatest.
    ///
    /// Defaults to 100. 99.99 is worth a try where a few numbers are far from all others.
    pub fn percentile(mut self, percentile: f64) -> Self {
        self.percentile = percentile;
        self
    }

    /// How the model is run. Defaults to [`SessionOptions::new`].
    pub fn session(mut self, options: SessionOptions) -> Self {
        self.options = options;
        self
    }

    /// Runs the model and measures the values called `names`. `input` is the file it came from.
    pub(super) fn ranges(
        &self,
        draft: &Draft,
        input: &Path,
        names: &[String],
    ) -> Result<HashMap<String, Range>> {
        self.check()?;
        let inputs: Vec<&str> =
            draft.graph().input.iter().filter_map(|input| input.name.as_deref()).collect();
        let (given, made): (Vec<_>, Vec<_>) =
            names.iter().cloned().partition(|name| inputs.contains(&name.as_str()));
        let mut histograms: HashMap<&str, Histogram> =
            names.iter().map(|name| (name.as_str(), Histogram::default())).collect();
        let session = self.options.of_draft(&draft.with_outputs(&made), input)?;
        for sample in &self.samples {
            let known = sample.iter().filter(|tensor| given.contains(&tensor.name));
            known.cloned().try_for_each(|tensor| add(&mut histograms, tensor))?;
            session.run(sample)?.into_iter().try_for_each(|tensor| add(&mut histograms, tensor))?;
        }
        let range =
            |(name, histogram): (&str, Histogram)| (name.to_owned(), histogram.range(self.percentile));
        Ok(histograms.into_iter().map(range).collect())
    }

    fn check(&self) -> Result<()> {
        if self.samples.is_empty() {
            return Err(Error::Empty { what: "list of samples" });
        }
        if self.percentile > 50.0 && self.percentile <= 100.0 {
            return Ok(());
        }
        let value = self.percentile.to_string();
        Err(Error::Option { option: "percentile", value, expected: "more than 50, at most 100" })
    }
}

fn add(histograms: &mut HashMap<&str, Histogram>, tensor: Tensor) -> Result<()> {
    let Some(histogram) = histograms.get_mut(tensor.name.as_str()) else { return Ok(()) };
    let Values::F32(values) = tensor.values else {
        return Err(Error::tensor(tensor.name, "is not of floats, so has no range to measure"));
    };
    match values.iter().find(|value| !value.is_finite()) {
        None => values.iter().for_each(|value| histogram.add(*value)),
        Some(value) => return Err(Error::tensor(tensor.name, format!("has the value {value} on a sample"))),
    }
    Ok(())
}

/// How often values fell where. The range doubles when it has to, and neighbouring bins become one.
#[derive(Clone, Debug, PartialEq)]
struct Histogram {
    /// From `-reach` to `reach`; 0 until a value other than zero came.
    bins: Vec<u64>,
    reach: f32,
    low: f32,
    high: f32,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; 2 * BINS], reach: 0.0, low: 0.0, high: 0.0, count: 0 }
    }
}

impl Histogram {
    fn add(&mut self, value: f32) {
        (self.low, self.high) = (self.low.min(value), self.high.max(value));
        self.count += 1;
        if value == 0.0 {
            self.bins[BINS] += 1;
            return;
        }
        if self.reach == 0.0 {
            self.reach = value.abs().max(f32::MIN_POSITIVE);
        }
        while value.abs() > self.reach {
            self.double();
        }
        let bin = BINS as f32 + value / self.reach * BINS as f32;
        self.bins[(bin as usize).min(2 * BINS - 1)] += 1;
    }

    fn double(&mut self) {
        self.reach *= 2.0;
        let mut bins = vec![0; 2 * BINS];
        for (at, two) in self.bins.chunks(2).enumerate() {
            bins[BINS / 2 + at] = two[0] + two[1];
        }
        self.bins = bins;
    }

    fn range(&self, percentile: f64) -> Range {
        let outside = (self.count as f64 * (100.0 - percentile) / 200.0) as u64;
        let edge = |at: usize| (at as f32 - BINS as f32) / BINS as f32 * self.reach;
        let low = skip(self.bins.iter(), outside);
        let high = skip(self.bins.iter().rev(), outside);
        Range { low: edge(low).max(self.low).min(0.0), high: edge(2 * BINS - high).min(self.high).max(0.0) }
    }
}

/// How many bins hold `count` values or fewer.
fn skip<'a>(bins: impl Iterator<Item = &'a u64>, count: u64) -> usize {
    let mut sum = 0;
    bins.take_while(|bin| {
        sum += **bin;
        sum <= count
    })
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = f32>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.add(value));
        histogram
    }

    #[test]
    fn whole_range_is_the_least_and_the_greatest_and_holds_zero() {
        assert_eq!(histogram([1.0, -3.0, 700.0, 0.0]).range(100.0), Range { low: -3.0, high: 700.0 });
        assert_eq!(histogram([2.0, 5.0]).range(100.0), Range { low: 0.0, high: 5.0 });
        assert_eq!(histogram([0.0]).range(100.0), Range { low: 0.0, high: 0.0 });
    }

    #[test]
    fn percentile_cuts_off_what_is_far_away_whenever_it_came() {
        let usual = (0..10_000).map(|at| (at as f32 * 0.1).sin());
        let late = histogram(usual.clone().chain([90.0]));
        let early = histogram([90.0].into_iter().chain(usual));

        for histogram in [late, early] {
            let range = histogram.range(99.9);
            assert!(range.high < 1.1 && range.high > 0.9 && range.low >= -1.0, "{range:?}");
        }
    }
}
