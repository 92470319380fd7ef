//! What templates call: the functions that the `transformers` library adds to Jinja.
use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Deeper indentation than this is nobody's.
const INDENT: usize = 16;

/// A template's own objection to a conversation.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Adds `raise_exception`, `strftime_now`, `tojson`, and Python's views of `length` and `iterable`.
pub(super) fn add(environment: &mut Environment<'_>, clock: fn() -> SystemTime) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: &str| strftime(format, clock()));
    environment.add_filter("tojson", tojson);
    environment.add_filter("length", length);
    environment.add_test("iterable", is_iterable);
}

fn raise_exception(reason: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "the template objects").with_source(Refusal(reason)))
}

/// The length of what is undefined is nothing, not an error.
fn length(value: &Value) -> Result<usize, Error> {
    let none = || Error::new(ErrorKind::InvalidOperation, format!("{} has no length", value.kind()));
    if value.is_undefined() { Ok(0) } else { value.len().ok_or_else(none) }
}

/// Templates ask this of tools, of which there are none: and `none` is not, other than for minijinja.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && (value.kind() == ValueKind::String || value.try_iter().is_ok())
}

/// JSON as Python writes it: spaces after commas and colons, and nothing escaped for HTML.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its keyword arguments so")]
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    match indent {
        None => json(value, OneLine),
        Some(indent) => json(value, PrettyFormatter::with_indent(&[b' '; INDENT][..indent.min(INDENT)])),
    }
}

fn json(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut out = Vec::new();
    let failed = |error| Error::new(ErrorKind::BadSerialization, "cannot write as JSON").with_source(error);
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter)).map_err(failed)?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `time` in UTC, in the words of C's `strftime`; what is not known stays as it is.
fn strftime(format: &str, time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (weekday, month_name) = (DAYS[(days as usize + 4) % 7], MONTHS[month as usize - 1]);
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        let code = if letter == '%' { letters.next() } else { None };
        match (letter, code) {
            ('%', Some('Y')) => out += &year.to_string(),
            ('%', Some('y')) => out += &format!("{:02}", year % 100),
            ('%', Some('m')) => out += &format!("{month:02}"),
            ('%', Some('d')) => out += &format!("{day:02}"),
            ('%', Some('e')) => out += &format!("{day:2}"),
            ('%', Some('H')) => out += &format!("{hour:02}"),
            ('%', Some('I')) => out += &format!("{:02}", (hour + 11) % 12 + 1),
            ('%', Some('M')) => out += &format!("{minute:02}"),
            ('%', Some('S')) => out += &format!("{second:02}"),
            ('%', Some('p')) => out += if hour < 12 { "AM" } else { "PM" },
            ('%', Some('B')) => out += month_name,
            ('%', Some('b')) => out += &month_name[..3],
            ('%', Some('A')) => out += weekday,
            ('%', Some('a')) => out += &weekday[..3],
            ('%', Some('%')) => out.push('%'),
            (letter, code) => {
                out.push(letter);
                out.extend(code);
            }
        }
    }
    out
}

/// Year, month and day of a day counted from 1970 on, by the era of 400 years: `civil_from_days` in
/// [Howard Hinnant's algorithms](https://howardhinnant.github.io/date_algorithms.html).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |days| date(days);
        assert_eq!(at(0), (1970, 1, 1));
        assert_eq!(at(11_016), (2000, 2, 29));
        assert_eq!(at(11_017), (2000, 3, 1));
        assert_eq!(at(19_783), (2024, 3, 1));
        assert_eq!(at(47_540), (2100, 2, 28));
        assert_eq!(at(47_541), (2100, 3, 1));
    }

    #[test]
    fn formats_are_filled_in_and_unknown_ones_stay() {
        let time = UNIX_EPOCH + Duration::from_secs(951_782_400 + 13 * 3600 + 5 * 60 + 9);
        assert_eq!(strftime("%A, %d %B %Y %H:%M:%S", time), "Tuesday, 29 February 2000 13:05:09");
        assert_eq!(strftime("%a %b %e %y %I %p 100%% %Q %", time), "Tue Feb 29 00 01 PM 100% %Q %");
    }
}
