//! What the commands have in common: styles, tables and durations.
use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
const HEAD: Style = AnsiColor::Cyan.on_default().bold();

/// A cell of a table, and how it looks.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Prints `rows` below `head`, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[Cell; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].text.as_str()).chain([head[column]]);
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    line(&head.map(|title| Cell::styled(title, HEAD)), &widths);
    rows.iter().for_each(|row| line(row, &widths));
}

fn line(cells: &[Cell], widths: &[usize]) {
    let padded = cells.iter().zip(widths).map(|(Cell { text, style }, width)| {
        let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
        format!("{style}{text}{style:#}{blanks}")
    });
    println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
}

/// `38 ms`, `1.7 s`, `3 min`.
pub(crate) fn human(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}
