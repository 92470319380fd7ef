//! A small text table: the first column left, numbers right.

use std::fmt;

use crate::paint::Paint;

/// How a row looks where colours are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Faint,
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells under a head, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Align; N],
    rows: Vec<(Tone, [String; N])>,
    paint: Paint,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&str, Align); N]) -> Self {
        Self {
            columns: columns.map(|(_, align)| align),
            rows: vec![(Tone::Faint, columns.map(|(head, _)| head.to_owned()))],
            paint: Paint::stdout(),
        }
    }

    pub(crate) fn row(&mut self, tone: Tone, cells: [String; N]) {
        self.rows.push((tone, cells));
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            self.rows.iter().map(|(_, cells)| cells[column].chars().count()).max().unwrap_or(0)
        })
    }

    fn line(&self, widths: &[usize; N], cells: &[String; N]) -> String {
        let padded: [String; N] = std::array::from_fn(|i| match self.columns[i] {
            Align::Left => format!("{:<1$}", cells[i], widths[i]),
            Align::Right => format!("{:>1$}", cells[i], widths[i]),
        });
        format!("  {}", padded.join("  ").trim_end())
    }

    fn painted(&self, tone: Tone, line: &str) -> String {
        match tone {
            Tone::Plain => line.to_owned(),
            Tone::Good => self.paint.green(line),
            Tone::Bad => self.paint.red(line),
            Tone::Faint => self.paint.dim(line),
        }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (tone, cells) in &self.rows {
            writeln!(f, "{}", self.painted(*tone, &self.line(&widths, cells)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("crate", Align::Left), ("passed", Align::Right)]);
        table.row(Tone::Plain, ["aic-alerts".to_owned(), "7".to_owned()]);

        let text = crate::paint::strip(&table.to_string());

        assert_eq!(text, "  crate       passed\n  aic-alerts       7\n");
    }
}
