//! `cargo xtask picture`: the quickstart's terminal output as the picture in the README.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::process::{self, cargo_with};
use crate::say::say;

pub(crate) const HELP: &str = "\
cargo xtask picture [ARGS]

Runs the quickstart (with ARGS, if any) in colour and writes what it printed to
docs/quickstart.svg.
";

/// Characters in a line; longer ones are continued on the next.
const COLUMNS: usize = 112;
/// The column where text continues.
const INDENT: usize = 11;
const LINE_HEIGHT: usize = 18;
const MARGIN: usize = 20;

/// How a piece of text looks; the codes are those of ECMA-48, section 8.3.117.
#[derive(Clone, Copy, Default, PartialEq)]
struct Look {
    bold: bool,
    dim: bool,
    colour: Option<u8>,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let mut command = cargo_with("run --quiet --release --bin quickstart --");
    let text = process::read(command.args(args).env("CLICOLOR_FORCE", "1"))?;
    let path = process::root().join("docs/quickstart.svg");
    write(&path, &svg(&text))?;
    say!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, picture: &str) -> Result<()> {
    fs::write(path, picture).map_err(|cause| Error::at(path, cause))
}

fn svg(text: &str) -> String {
    let lines: Vec<_> = lines(text);
    let height = 2 * MARGIN + lines.len() * LINE_HEIGHT;
    let rows: String = lines.iter().enumerate().map(|(row, line)| text_row(row, line)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 {height}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"12.5\">\n\
         <rect width=\"920\" height=\"{height}\" rx=\"10\" fill=\"#16181d\"/>\n{rows}</svg>\n"
    )
}

fn text_row(row: usize, line: &[(char, Look)]) -> String {
    let y = MARGIN + row * LINE_HEIGHT + 12;
    let spans: String = line.chunk_by(|(_, a), (_, b)| a == b).map(span).collect();
    format!("<text x=\"{MARGIN}\" y=\"{y}\" fill=\"#d7dae0\" xml:space=\"preserve\">{spans}</text>\n")
}

fn span(piece: &[(char, Look)]) -> String {
    let look = piece[0].1;
    let text: String = piece.iter().map(|(c, _)| escaped(*c)).collect();
    let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
    let opacity = if look.dim { " fill-opacity=\"0.6\"" } else { "" };
    let fill = look.colour.and_then(hex).map(|hex| format!(" fill=\"{hex}\"")).unwrap_or_default();
    format!("<tspan{weight}{opacity}{fill}>{text}</tspan>")
}

fn escaped(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other => other.to_string(),
    }
}

/// The colour of a code from 31 to 36.
fn hex(code: u8) -> Option<&'static str> {
    Some(match code {
        31 => "#ff6b6b",
        32 => "#7ee787",
        33 => "#f2cc60",
        34 => "#79b8ff",
        35 => "#d2a8ff",
        36 => "#56d4dd",
        _ => return None,
    })
}

/// The characters of each line with their looks, long lines cut.
fn lines(text: &str) -> Vec<Vec<(char, Look)>> {
    let (mut lines, mut look) = (vec![Vec::new()], Look::default());
    let mut characters = text.trim_end().chars();
    while let Some(c) = characters.next() {
        match c {
            '\n' => lines.push(Vec::new()),
            '\u{1b}' => look = restyled(look, characters.by_ref().skip(1).take_while(|c| *c != 'm')),
            c => {
                let line = lines.last_mut().expect("there is always a last line");
                line.push((c, look));
                if line.len() > COLUMNS {
                    let rest = cut(line);
                    lines.push(rest);
                }
            }
        }
    }
    lines
}

/// Takes the last word off a line that is too long, indented as the text above it.
fn cut(line: &mut Vec<(char, Look)>) -> Vec<(char, Look)> {
    let blank = line.iter().rposition(|(c, _)| *c == ' ').filter(|at| *at > INDENT);
    let word = line.split_off(blank.map_or(COLUMNS, |at| at + 1));
    std::iter::repeat_n((' ', Look::default()), INDENT).chain(word).collect()
}

/// The look after an escape sequence's codes.
fn restyled(mut look: Look, codes: impl Iterator<Item = char>) -> Look {
    for code in codes.collect::<String>().split(';') {
        match code.parse() {
            Ok(1) => look.bold = true,
            Ok(2) => look.dim = true,
            Ok(code @ 31..=36) => look.colour = Some(code),
            _ => look = Look::default(),
        }
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_spans_and_markup_is_escaped() {
        let picture = svg("\u{1b}[1m\u{1b}[36mlabel\u{1b}[0m a < b\nnext\n");

        assert!(
            picture.contains(
                "<tspan font-weight=\"bold\" fill=\"#56d4dd\">label</tspan><tspan> a &lt; b</tspan>"
            )
        );
        assert_eq!(picture.matches("<text").count(), 2);
    }

    #[test]
    fn a_long_line_goes_on_below() {
        assert_eq!(lines(&"x".repeat(COLUMNS + 1)).len(), 2);
    }
}
