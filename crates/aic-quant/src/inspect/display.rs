//! The summary for people.
use std::fmt;

use super::fold::fold;
use super::{Inspection, Quantization, TokenizerSummary};

/// Longest text shown of one value, in characters.
const TEXT_LIMIT: usize = 72;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        for file in &self.files {
            writeln!(f, "file       {}, {}, {}", file.path.display(), self.format, size(file.bytes))?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            writeln!(f, "tokenizer  {tokenizer}")?;
        }
        if let Some(quantization) = self.quantization.summary() {
            writeln!(f, "quantized  {quantization}")?;
        }
        section(f, "warnings", self.warnings.iter().map(|warning| vec![harmless(&warning.to_string())]))?;
        section(
            f,
            "types",
            self.types.iter().map(|known| {
                vec![
                    known.dtype.to_string(),
                    tensors(known.tensors),
                    size(known.bytes),
                    format!("{:.1} %", known.share * 100.0),
                ]
            }),
        )?;
        section(
            f,
            "metadata",
            self.metadata.iter().map(|(key, value)| vec![clean(key), clean(&value.to_string())]),
        )?;
        section(
            f,
            "tensors",
            fold(&self.tensors).iter().map(|fold| {
                let times = if fold.count > 1 { tensors(fold.count) } else { String::new() };
                vec![
                    clean(&fold.name()),
                    fold.dtype.to_string(),
                    format!("{:?}", fold.shape),
                    size(fold.bytes),
                    times,
                ]
            }),
        )
    }
}

impl Inspection {
    /// Name, architecture, parameters, bits.
    fn title(&self) -> String {
        let mut parts: Vec<String> =
            [&self.name, &self.architecture].into_iter().flatten().map(|text| clean(text)).collect();
        parts.push(format!("{} parameters", count(self.parameters)));
        parts.push(size(self.file_bytes()));
        parts.extend(self.bits_per_weight.map(|bits| format!("{bits:.2} bits per weight")));
        parts.join(", ")
    }
}

impl fmt::Display for TokenizerSummary {
    /// `gpt2 (llama-bpe), 128256 tokens, bos 128000, chat template`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(self.model.as_deref().unwrap_or("of an unknown kind")))?;
        if let Some(pre) = &self.pre {
            write!(f, " ({})", clean(pre))?;
        }
        if let Some(vocabulary) = self.vocabulary {
            write!(f, ", {vocabulary} tokens")?;
        }
        for (role, id) in &self.special {
            write!(f, ", {} {id}", clean(role))?;
        }
        f.write_str(if self.chat_template { ", chat template" } else { ", no chat template" })
    }
}

impl Quantization {
    /// `None` if the file says nothing.
    fn summary(&self) -> Option<String> {
        let matrices = self.imatrix_entries.map(|entries| format!("{entries} matrices"));
        let chunks = self.imatrix_chunks.map(|chunks| format!("{chunks} chunks"));
        let dataset = self.imatrix_dataset.as_deref().or(self.imatrix_file.as_deref()).map(clean);
        let details: Vec<String> = [dataset, matrices, chunks].into_iter().flatten().collect();
        let imatrix = (!details.is_empty()).then(|| format!("importance matrix of {}", details.join(", ")));
        let version = self.version.map(|version| format!("version {version}"));
        let parts: Vec<String> = [self.file_type.clone(), version, imatrix].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Rows under a heading, in columns as wide as needed; nothing without rows.
fn section(
    f: &mut fmt::Formatter<'_>,
    heading: &str,
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let rows: Vec<Vec<String>> = rows.collect();
    let Some(first) = rows.first() else { return Ok(()) };
    let columns: Vec<Column> = (0..first.len()).map(|index| Column::of(&rows, index)).collect();
    writeln!(f, "\n{heading}")?;
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&columns).map(|(cell, column)| column.aligned(cell)).collect();
        writeln!(f, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// How the cells of a column stand below each other.
struct Column {
    width: usize,
    is_numeric: bool,
}

impl Column {
    fn of(rows: &[Vec<String>], index: usize) -> Self {
        let cells = || rows.iter().map(|row| &row[index]);
        let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_numeric =
            cells().all(|cell| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit()));
        Self { width, is_numeric }
    }

    /// Text to the left, numbers to the right.
    fn aligned(&self, cell: &str) -> String {
        let width = self.width;
        if self.is_numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

/// The number of tensors, in a width that does not change with the plural.
fn tensors(count: usize) -> String {
    format!("{count} tensor{}", if count == 1 { " " } else { "s" })
}

/// A text of a file without what would steer a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The start of a text of a file, on one line.
fn clean(text: &str) -> String {
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(TEXT_LIMIT).collect();
    harmless(&start) + if characters.next().is_some() { "…" } else { "" }
}

/// Bytes in the largest unit that leaves a number of at least 1.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS.iter().take_while(|_| bytes >= 1024) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A number of parameters: `7.24 B`, `494 M`.
fn count(parameters: u64) -> String {
    match parameters as f64 {
        n if n >= 1e12 => format!("{:.2} T", n / 1e12),
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        _ => parameters.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_short() {
        let sizes = [0, 1023, 1024, 1536, 5 << 20, 7 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "7.0 GiB", "16384.0 PiB"]);
        let counts = [0, 9_999, 123_456, 2_600_000, 7_241_732_096].map(count);
        assert_eq!(counts, ["0", "9999", "123.5 k", "2.6 M", "7.24 B"]);
    }

    #[test]
    fn text_of_a_file_steers_no_terminal_and_is_short() {
        assert_eq!(clean("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(clean(&"é".repeat(100)), "é".repeat(72) + "…");
    }
}
