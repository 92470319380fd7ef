//! What the commands have in common: styles, durations, sizes, and where an answer came from.
use std::error::Error;
use std::time::Duration;

use aic::{Answer, Origin};
use anstyle::{AnsiColor, Style};

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const HEAD: Style = AnsiColor::Cyan.on_default().bold();

pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// `from disk, 3.0 min old`, or who made it.
pub(crate) fn origin(answer: &Answer) -> String {
    match &answer.origin {
        Origin::Cache { tier, age, .. } if age.is_zero() => format!("{GOOD}from {tier}{GOOD:#}, just made"),
        Origin::Cache { tier, age, .. } => format!("{GOOD}from {tier}{GOOD:#}, {} old", human(*age)),
        _ => format!("made by {}/{}", answer.provider, answer.model),
    }
}

/// `0.2 ms`, `38 ms`, `1.7 s`, `3 min`, `5.2 h`.
pub(crate) fn human(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// `800 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
