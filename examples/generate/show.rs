//! Progress, sizes and errors.
use std::error::Error;

use aic::monitor::probe::{Probe, ProcessProbe};
use aic::monitor::{Moment, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts bytes; hidden where the output is for a program.
pub(crate) fn byte_bar(hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40.cyan/blue} {percent:>3} %  {binary_bytes_per_sec}");
    ProgressBar::new(0).with_style(style.expect("a template written here"))
}

/// Bytes as a person reads them.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..=1_048_575 => (1024.0, "KiB"),
        1_048_576..=1_073_741_823 => (1_048_576.0, "MiB"),
        _ => (1_073_741_824.0, "GiB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit)
}

/// What this program has in memory; `None` where the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let readings = ProcessProbe::new().read(Moment::of(&SystemClock)).ok()?;
    let resident = readings.iter().find(|reading| reading.metric == "process_resident_memory_bytes")?;
    resident.value.as_ref().ok().map(|bytes| *bytes as u64)
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
