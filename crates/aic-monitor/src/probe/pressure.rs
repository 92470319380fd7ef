use std::fs;
use std::path::PathBuf;

use super::Probe;
use crate::rate::Rates;
use crate::{Absent, Moment, Reading, Result};

const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

/// How much of the time tasks waited for a resource: the kernel's pressure stall information (Linux;
/// `Documentation/accounting/psi.rst`).
///
/// Under the labels `resource` (`cpu`, `memory`, `io`) and `kind` (`some` tasks waited, or all: `full`):
/// `pressure_stall_seconds_total`, its growth since the last reading as `pressure_stall_ratio`, and
/// `pressure_stall_10s_ratio`, the kernel's own average over ten seconds.
#[derive(Debug)]
pub struct PressureProbe {
    folder: PathBuf,
    stalled: Rates,
}

impl PressureProbe {
    /// A probe of the whole machine.
    pub fn new() -> Self {
        Self::in_folder("/proc/pressure")
    }

    fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), stalled: Rates::default() }
    }

    fn stalls(&self, resource: &str) -> Result<Vec<Stall>, Absent> {
        let text = fs::read_to_string(self.folder.join(resource)).map_err(|error| Absent::from_io(&error))?;
        parse(&text)
    }
}

impl Default for PressureProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for PressureProbe {
    fn name(&self) -> &str {
        "pressure"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let mut readings = Vec::new();
        for resource in RESOURCES {
            let mut push = |metric, value, kind| {
                readings
                    .push(Reading::new(metric, value, at).label("resource", resource).label("kind", kind));
            };
            match self.stalls(resource) {
                Err(reason) => push("pressure_stall_ratio", Err(reason), "some"),
                Ok(stalls) => {
                    for Stall { kind, ratio_10s, seconds } in stalls {
                        let ratio = self.stalled.update(&format!("{resource}/{kind}"), at.instant, seconds);
                        push("pressure_stall_seconds_total", Ok(seconds), kind);
                        push("pressure_stall_ratio", ratio.map(|ratio| ratio.min(1.0)), kind);
                        push("pressure_stall_10s_ratio", Ok(ratio_10s), kind);
                    }
                }
            }
        }
        Ok(readings)
    }
}

/// One line of a pressure file.
#[derive(Debug, PartialEq)]
struct Stall {
    kind: &'static str,
    ratio_10s: f64,
    seconds: f64,
}

/// Reads lines like `some avg10=1.50 avg60=0.40 avg300=0.10 total=2500000`, where `total` is in microseconds.
/// Lines of other kinds are skipped.
fn parse(text: &str) -> Result<Vec<Stall>, Absent> {
    let kinds = ["some", "full"].into_iter();
    let line = |kind: &'static str| Some((kind, text.lines().find_map(|line| line.strip_prefix(kind))?));
    let stalls: Vec<_> =
        kinds.filter_map(line).map(|(kind, rest)| parse_line(kind, rest)).collect::<Result<_, _>>()?;
    if stalls.is_empty() { Err(Absent::Malformed) } else { Ok(stalls) }
}

fn parse_line(kind: &'static str, fields: &str) -> Result<Stall, Absent> {
    let field = |name: &str| {
        fields
            .split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .ok_or(Absent::Malformed)
    };
    let percent: f64 = field("avg10")?.parse().map_err(|_| Absent::Malformed)?;
    let micros: u64 = field("total")?.parse().map_err(|_| Absent::Malformed)?;
    Ok(Stall { kind, ratio_10s: percent / 100.0, seconds: micros as f64 / 1e6 })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::SystemClock;

    const SOME: &str = "some avg10=13.50 avg60=8.40 avg300=4.20 total=22500000\n";
    const FULL: &str = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    #[test]
    fn both_kinds_are_read() {
        let stalls = parse(&format!("{SOME}{FULL}")).unwrap();

        assert_eq!(stalls[0], Stall { kind: "some", ratio_10s: 0.135, seconds: 22.5 });
        assert_eq!(stalls[1], Stall { kind: "full", ratio_10s: 0.0, seconds: 0.0 });
    }

    #[test]
    fn old_kernel_has_no_full_line_for_the_cpu() {
        assert_eq!(parse(SOME).unwrap().len(), 1);
    }

    #[test]
    fn damaged_text_is_malformed() {
        for text in
            ["", "some", "some avg10=x total=1", "some avg10=1.0 total=-1", "some avg10=1.0", "other total=1"]
        {
            assert_eq!(parse(text), Err(Absent::Malformed), "{text:?}");
        }
    }

    #[test]
    fn ratio_is_the_growth_of_the_counter_and_a_missing_file_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("io");
        let (mut probe, at) = (PressureProbe::in_folder(folder.path()), Moment::of(&SystemClock));
        let io = |readings: &[Reading]| {
            readings
                .iter()
                .find(|r| r.metric == "pressure_stall_ratio" && r.labels.get("resource") == Some("io"))
                .unwrap()
                .value
        };

        fs::write(&file, SOME).unwrap();
        let first = probe.read(at).unwrap();
        fs::write(&file, SOME.replace("22500000", "23000000")).unwrap();
        let later = probe.read(Moment { instant: at.instant + Duration::from_secs(2), ..at }).unwrap();

        assert_eq!(io(&first), Err(Absent::FirstSample));
        assert_eq!(io(&later), Ok(0.25));
        assert_eq!(first[0].value, Err(Absent::NotSupported));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(some|full)? ?(avg10=|total=)?\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
