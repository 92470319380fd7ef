use std::fmt;
use std::time::Duration;

use crate::distribution::Distribution;
use crate::report::{Load, Report};

/// The percentiles of a report's table.
pub(crate) const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];
const ROWS: usize = 8;
const WIDTH: u64 = 40;

/// Three digits and a unit: `850 µs`, `12.3 ms`, `1.23 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let decimals = if value >= 100.0 || value == 0.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.decimals$} {unit}")
}

/// One line for each measured quantity, one column for each percentile.
pub(crate) fn table(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let heads = PERCENTILES.map(|(name, _)| format!("{name:>10}")).concat();
    writeln!(f, "{:<15}{heads}{:>10}", "", "max")?;
    let lines = [
        ("latency", &report.latency),
        ("TTFT", &report.ttft),
        ("ITL", &report.itl),
        ("TPOT", &report.tpot),
        ("dispatch delay", &report.dispatch_delay),
    ];
    // In a closed loop nothing can start late.
    let shown = if matches!(report.load, Load::Closed { .. }) { 4 } else { 5 };
    let mut measured = lines.into_iter().take(shown).filter(|(_, distribution)| distribution.count() > 0);
    measured.try_for_each(|(name, distribution)| line(f, name, distribution))
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, distribution: &Distribution) -> fmt::Result {
    write!(f, "{name:<15}")?;
    for (_, share) in PERCENTILES {
        let mark = if distribution.supports(share) { "" } else { "~" };
        let value = distribution.quantile(share).map(duration).unwrap_or_default();
        write!(f, "{:>10}", format!("{mark}{value}"))?;
    }
    writeln!(f, "{:>10}", distribution.max().map(duration).unwrap_or_default())
}

/// A bar for each range between the shortest and the longest duration, the ranges in equal ratios.
pub(crate) fn bars(f: &mut fmt::Formatter<'_>, distribution: &Distribution) -> fmt::Result {
    let Some((shortest, longest)) = distribution.min().zip(distribution.max()) else { return Ok(()) };
    let low = shortest.as_secs_f64().max(1e-6);
    let ratio = (longest.as_secs_f64() / low).max(1.0);
    let mut counts = [0_u64; ROWS];
    for (nanos, count) in distribution.buckets() {
        counts[row(nanos as f64 / 1e9 / low, ratio)] += count;
    }
    let most = counts.iter().copied().max().unwrap_or(1);
    for (row, count) in counts.into_iter().enumerate().take(if ratio > 1.01 { ROWS } else { 1 }) {
        let upper = Duration::from_secs_f64(low * ratio.powf((row + 1) as f64 / ROWS as f64));
        writeln!(f, "  up to {:>8} {:<40} {count}", duration(upper), bar(count, most))?;
    }
    Ok(())
}

fn row(times_shortest: f64, ratio: f64) -> usize {
    if ratio <= 1.01 {
        return 0;
    }
    let position = times_shortest.max(1.0).ln() / ratio.ln();
    ((position * ROWS as f64) as usize).min(ROWS - 1)
}

/// At least one block for anything above zero.
fn bar(count: u64, most: u64) -> String {
    let length = (u128::from(count) * u128::from(WIDTH)).div_ceil(u128::from(most.max(1)));
    "█".repeat(usize::try_from(length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_with_three_digits_and_a_fitting_unit() {
        let printed =
            [0, 850, 12_345, 1_234_000, 250_000_000].map(|micros| duration(Duration::from_micros(micros)));

        assert_eq!(printed, ["0 µs", "850 µs", "12.3 ms", "1.23 s", "250 s"]);
    }

    #[test]
    fn bars_count_every_duration_once() {
        let mut distribution = Distribution::new();
        for millis in [1, 2, 2, 3, 5, 8, 100, 1000] {
            distribution.record(Duration::from_millis(millis));
        }

        let printed = distribution.to_string();

        let counts = printed.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(counts.sum::<u64>(), 8);
        assert_eq!(printed.lines().count(), ROWS);
    }

    #[test]
    fn equal_durations_print_as_one_bar() {
        let mut distribution = Distribution::new();
        distribution.record(Duration::from_millis(7));

        assert_eq!(distribution.to_string().lines().count(), 1);
    }
}
