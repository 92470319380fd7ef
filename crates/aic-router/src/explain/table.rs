//! An explanation as a table for people.

use std::fmt;
use std::time::Duration;

use super::{Candidate, Explanation};
use crate::{Constraints, ExpectedLatency, NanoUsd, Quality};

/// A table of at most about 100 columns. `~` stands at what is believed rather than measured, `±` before half
/// of what nine cases in ten lie within.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.task_guessed { "guessed" } else { "given" };
        let (task, priority, tokens) = (self.task, self.priority, self.input_tokens);
        writeln!(f, "task {task} ({how}), priority {priority}, about {tokens} input tokens")?;
        if self.candidates.is_empty() {
            return f.write_str("no provider has a chat model\n");
        }
        self.bounds(f)?;
        let table = Table::of(self);
        table.head(f)?;
        self.candidates.iter().try_for_each(|candidate| table.row(candidate, f))
    }
}

impl Explanation {
    fn bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let demanded = bounds(&self.constraints);
        if !demanded.is_empty() {
            writeln!(f, "demanded: {}", demanded.join(", "))?;
        }
        match self.chosen() {
            Some(_) => writeln!(f, "wanted: {}, at the least cost", bounds(&self.goal).join(", ")),
            None => Ok(()),
        }
    }
}

fn bounds(constraints: &Constraints) -> Vec<String> {
    let quality = constraints.quality_min.map(|min| format!("quality {min:.2} or more"));
    let latency = constraints.latency_p95_max.map(|max| format!("p95 {} or less", Seconds(max)));
    let cost = constraints.cost_max.map(|max| format!("cost {max} or less"));
    [quality, latency, cost].into_iter().flatten().collect()
}

/// How wide the columns are, and which there are.
struct Table {
    name: usize,
    cost: usize,
    cached: bool,
}

impl Table {
    fn of(explanation: &Explanation) -> Self {
        let candidates = &explanation.candidates;
        let widest = |width: fn(&Candidate) -> usize| candidates.iter().map(width).max().unwrap_or(0);
        Self {
            name: widest(|candidate| name(candidate).len()),
            cost: widest(|candidate| cost(candidate.estimate).len()),
            cached: candidates.iter().any(|candidate| candidate.cached_tokens > 0),
        }
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cached = if self.cached { "  cached" } else { "" };
        let (width, cost) = (self.name, self.cost);
        writeln!(f, "  {:width$}  {:8}  {:>7}  {:>cost$}{cached}", "model", "quality", "p95 ", "cost")
    }

    fn row(&self, candidate: &Candidate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if candidate.chosen { '>' } else { ' ' };
        let (width, name) = (self.name, name(candidate));
        if let Some(why) = &candidate.why_not {
            return writeln!(f, "{mark} {name:width$}  {why}");
        }
        let (quality, p95) = (quality(candidate.quality), p95(candidate.latency));
        let cost = format!("{:>width$}", cost(candidate.estimate), width = self.cost);
        let cached = if self.cached { format!("  {:>6}", candidate.cached_tokens) } else { String::new() };
        let line =
            format!("{mark} {name:width$}  {quality:8}  {p95:>7}  {cost}{cached}  {}", note(candidate));
        writeln!(f, "{}", line.trim_end())
    }
}

fn note(candidate: &Candidate) -> String {
    let why = candidate.why_later.as_ref().map(ToString::to_string);
    let cold = candidate.cold.then(|| "not loaded yet".to_owned());
    why.into_iter().chain(cold).collect::<Vec<_>>().join("; ")
}

fn name(candidate: &Candidate) -> String {
    format!("{}/{}", candidate.provider, candidate.model)
}

fn quality(quality: Quality) -> String {
    if quality.feedback == 0.0 {
        return format!("{:.2}~", quality.mean);
    }
    format!("{:.2} ±{:.2}", quality.mean, (quality.high - quality.low) / 2.0)
}

fn p95(latency: ExpectedLatency) -> String {
    format!("{}{}", Seconds(latency.p95), if latency.measured { ' ' } else { '~' })
}

/// To three digits; the estimate is no more exact.
fn cost(cost: Option<NanoUsd>) -> String {
    cost.map_or("unknown".into(), |NanoUsd(nano)| {
        let unit = 10u64.pow(nano.checked_ilog10().unwrap_or(0).saturating_sub(2));
        NanoUsd(nano - nano % unit).to_string()
    })
}

/// A duration as a person says it: `820 ms`, `4.2 s`, `14 s`, `3 min`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds if seconds < 0.9995 => write!(f, "{:.0} ms", seconds * 1000.0),
            seconds if seconds < 9.95 => write!(f, "{seconds:.1} s"),
            seconds if seconds < 119.5 => write!(f, "{seconds:.0} s"),
            seconds => write!(f, "{:.0} min", seconds / 60.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_costs_are_short() {
        let shown = [0.0, 0.82, 4.24, 14.3, 180.0].map(|s| Seconds(Duration::from_secs_f64(s)).to_string());
        assert_eq!(shown, ["0 ms", "820 ms", "4.2 s", "14 s", "3 min"]);

        let shown = [None, Some(0), Some(7), Some(6_425_900), Some(1_234_000_000)]
            .map(|nano| cost(nano.map(NanoUsd)));
        assert_eq!(shown, ["unknown", "$0", "$0.000000007", "$0.00642", "$1.23"]);
    }
}
