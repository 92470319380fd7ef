use std::{fmt, time::Duration};

use super::{CacheStats, Latency, SimilarityStats};
use crate::TierStats;

/// A table of what happened at least once, for a terminal of 80 columns. Does not end in a line break.
impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}{:<38}{:>11}{:>11}", "hit ratio", self.ratio(), "p50", "p99")?;
        section(f, "hits", self.hit_lines())?;
        section(f, "misses", self.miss_lines())?;
        section(f, "stores", self.store_lines())?;
        section(f, "saved", self.saved_lines())?;
        section(f, "tiers", self.tiers.iter().map(tier_line).collect())?;
        section(f, "similar", self.similarity.iter().map(similarity_line).collect())
    }
}

fn similarity_line(stats: &SimilarityStats) -> Option<String> {
    let (Some(rate), Some((low, high))) = (stats.wrong_rate, stats.interval) else {
        return Some(format!("{} questions, no hit verified yet", grouped(stats.questions)));
    };
    let [rate, low, high] = [rate, low, high].map(|share| share * 100.0);
    let of = format!("{} of {} verified", grouped(stats.wrong), grouped(stats.verified));
    Some(format!("{} questions, {of} wrong: {rate:.1} % ({low:.1}–{high:.1} %)", grouped(stats.questions)))
}

/// The name stands before the first line only.
fn section<L: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, lines: Vec<Option<L>>) -> fmt::Result {
    let names = [name].into_iter().chain(std::iter::repeat(""));
    lines.into_iter().flatten().zip(names).try_for_each(|(line, name)| write!(f, "\n{name:<10}{line}"))
}

struct Line<'a> {
    name: &'a str,
    value: String,
    latency: Option<&'a Latency>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}{:>14}", self.name, self.value)?;
        let quantiles = |latency: &Latency| latency.quantile(0.5).zip(latency.quantile(0.99));
        match self.latency.and_then(quantiles) {
            Some((p50, p99)) => write!(f, "{:>11}{:>11}", duration(p50), duration(p99)),
            None => Ok(()),
        }
    }
}

/// A line with a number; none for 0.
fn number(name: &str, number: u64) -> Option<Line<'_>> {
    (number > 0).then(|| Line { name, value: grouped(number), latency: None })
}

/// A line with the number of what was timed.
fn timed<'a>(name: &'a str, latency: &'a Latency) -> Option<Line<'a>> {
    number(name, latency.count()).map(|line| Line { latency: Some(latency), ..line })
}

impl CacheStats {
    fn ratio(&self) -> String {
        let share = |ratio| format!("{:.1} % of {}", ratio * 100.0, grouped(self.looks()));
        self.hit_ratio().map_or_else(|| "nothing looked for yet".to_owned(), share)
    }

    fn hit_lines(&self) -> Vec<Option<Line<'_>>> {
        let rest = [
            number("of all these stale", self.stale),
            number("of all these similar", self.similar),
            number("of all these refusals", self.refused),
            number("coalesced", self.coalesced),
            number("followed live", self.followed),
        ];
        self.latency.hits.iter().map(|(tier, latency)| timed(tier, latency)).chain(rest).collect()
    }

    fn miss_lines(&self) -> Vec<Option<Line<'_>>> {
        let misses = &self.misses;
        vec![
            timed("looked for in vain", &self.latency.misses),
            number("  absent", misses.absent),
            number("  expired", misses.expired),
            number("  damaged", misses.damaged),
            number("  cleared", misses.cleared),
            number("  store unavailable", misses.unavailable),
            number("bypassed", misses.bypassed),
            number("stale on an error", self.stale_if_error),
        ]
    }

    fn store_lines(&self) -> Vec<Option<Line<'_>>> {
        let not = &self.not_stored;
        let bytes = Line { name: "  bytes kept", value: bytes(self.stored_bytes), latency: None };
        vec![
            timed("handed to the store", &self.latency.stores),
            number("  kept", self.stores),
            Some(bytes).filter(|_| self.stores > 0),
            number("  too large", not.too_large),
            number("  superseded", not.superseded),
            number("  store unavailable", not.unavailable),
            number("declined", not.declined),
        ]
    }

    fn saved_lines(&self) -> Vec<Option<Line<'_>>> {
        let saved = &self.saved;
        let dollars = Line { name: "dollars", value: dollars(saved.nano_usd), latency: None };
        vec![
            number("tokens", saved.tokens),
            Some(dollars).filter(|_| saved.nano_usd > 0),
            number("answers without price", saved.unpriced),
        ]
    }
}

/// What the tier knows about itself.
fn tier_line(tier: &TierStats) -> Option<String> {
    let of = tier.capacity_bytes.map(|capacity| format!(" of {}", bytes(capacity))).unwrap_or_default();
    let known = [
        tier.bytes.map(|held| format!("{}{of}", bytes(held))),
        tier.entries.map(|entries| format!("{} entries", grouped(entries))),
        tier.evictions.map(|evictions| format!("{} evicted", grouped(evictions))),
    ];
    let known: Vec<_> = known.into_iter().flatten().collect();
    (!known.is_empty()).then(|| format!("{:<10}{}", tier.tier, known.join(", ")))
}

/// With a comma before every third digit: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let (head, tail) = digits.split_at((digits.len() + 2) % 3 + 1);
    tail.as_bytes()
        .chunks(3)
        .fold(head.to_owned(), |text, three| text + "," + &String::from_utf8_lossy(three))
}

/// Three digits and a unit: `85 ns`, `1.23 µs`, `45.6 ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    let (value, unit) = match nanos {
        ..1e3 => return format!("{nanos} ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let decimals = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.decimals$} {unit}")
}

/// With a binary unit: `1.5 GiB`.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..4).take_while(|step| bytes >> (10 * (step + 1)) > 0).count();
    let decimals = usize::from(step > 0);
    format!("{:.decimals$} {}", bytes as f64 / (1_u64 << (10 * step)) as f64, UNITS[step])
}

/// To the cent, or finer where that would say too little: `$12.30`, `$0.0123`.
pub(crate) fn dollars(nano_usd: u64) -> String {
    let dollars = nano_usd as f64 / 1e9;
    let decimals = if (1..1_000_000_000).contains(&nano_usd) { 4 } else { 2 };
    format!("${dollars:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MissReason, Put, Worth, stats::Counters};

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn busy() -> CacheStats {
        let counters = Counters::default();
        let worth = Worth { tokens: Some(1_500), nano_usd: Some(12_300_000) };
        for i in 0..1_200 {
            counters.hit("memory", worth, micros(1) + Duration::from_nanos(i));
        }
        for i in 0..75 {
            counters.hit("redis", worth, micros(400 + 20 * i));
            counters.miss(MissReason::Absent, micros(300 + i));
            counters.put(Put::Stored { bytes: 4_321 }, Some(micros(500)));
        }
        counters.stale();
        counters.coalesced(worth);
        counters.followed(Worth::default());
        counters.miss(MissReason::Expired, micros(900));
        counters.miss(MissReason::Bypassed, Duration::ZERO);
        counters.put(Put::TooLarge { bytes: 9, limit: 8 }, Some(micros(20)));
        counters.put(Put::Declined, None);
        let memory = TierStats {
            entries: Some(71),
            bytes: Some(330_000),
            capacity_bytes: Some(64 << 20),
            evictions: Some(1_004),
            ..TierStats::new("memory")
        };
        CacheStats { tiers: vec![memory, TierStats::new("redis")], ..counters.snapshot() }
    }

    #[test]
    fn busy_cache_prints_a_table_of_what_happened() {
        let printed = busy().to_string();
        assert_eq!(printed, GOLDEN, "got\n{printed}");
    }

    const GOLDEN: &str = "\
hit ratio 94.4 % of 1,353                               p50        p99
hits      memory                           1,200    1.57 µs    2.24 µs
          redis                               75    1.15 ms    1.87 ms
          of all these stale                   1
          coalesced                            1
          followed live                        1
misses    looked for in vain                  76     336 µs     901 µs
            absent                            75
            expired                            1
          bypassed                             1
stores    handed to the store                 76     500 µs     500 µs
            kept                              75
            bytes kept                 316.5 KiB
            too large                          1
          declined                             1
saved     tokens                       1,914,000
          dollars                         $15.69
          answers without price                1
tiers     memory    322.3 KiB of 64.0 MiB, 71 entries, 1,004 evicted";

    #[test]
    fn idle_cache_prints_one_line() {
        let printed = CacheStats::default().to_string();

        assert_eq!(
            printed.split_whitespace().collect::<Vec<_>>().join(" "),
            "hit ratio nothing looked for yet p50 p99"
        );
    }

    #[test]
    fn numbers_print_in_groups_of_three_digits() {
        let printed = [0, 12, 999, 1_000, 12_345, 123_456, u64::MAX].map(grouped);

        assert_eq!(printed, ["0", "12", "999", "1,000", "12,345", "123,456", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn times_sizes_and_dollars_print_with_the_unit_that_suits_them() {
        let times = [0, 85, 1_234, 45_600_000, 789_000_000, 12_000_000_000].map(Duration::from_nanos);

        assert_eq!(times.map(duration), ["0 ns", "85 ns", "1.23 µs", "45.6 ms", "789 ms", "12.0 s"]);
        assert_eq!([0, 1023, 1536, 3 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([0, 12_300_000, 12_346_000_000].map(dollars), ["$0.00", "$0.0123", "$12.35"]);
    }
}
