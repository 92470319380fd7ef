//! Progress bars, sizes and errors, the same for every command.
use std::error::Error;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts bytes; hidden where the output is for a program.
pub(crate) fn byte_bar(hidden: bool) -> ProgressBar {
    bar(hidden, "{bar:40.cyan/blue} {percent:>3} %  {binary_bytes_per_sec}, {eta} left  {msg}")
}

/// A bar that counts steps of some kind.
pub(crate) fn step_bar(hidden: bool, unit: &str) -> ProgressBar {
    bar(hidden, &format!("{{bar:40.cyan/blue}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}"))
}

/// A bar from 0 to 1000.
pub(crate) fn share_bar() -> ProgressBar {
    let bar = bar(false, "{bar:40.cyan/blue} {percent:>3} %, {eta} left");
    bar.set_length(1000);
    bar
}

fn bar(hidden: bool, template: &str) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("a template written here");
    ProgressBar::new(0).with_style(style)
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

/// The size of a file; 0 if it cannot be had.
pub(crate) fn file_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
