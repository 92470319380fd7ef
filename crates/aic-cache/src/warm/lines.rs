use std::io::{BufRead, Read};

use crate::{BoxError, Error, Result};

/// The longest line taken, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Prompts from a text with one on each line, as `parse` understands them. Blank lines are left out.
///
/// ```
/// use aic_cache::warm::lines;
/// use serde_json::Value;
///
/// let file = "{\"prompt\": \"Why?\"}\n\n{\"prompt\": \"How?\"\n";
/// let prompts: Vec<_> = lines(file.as_bytes(), |line| serde_json::from_str::<Value>(line)).collect();
///
/// assert_eq!(prompts[0].as_ref().unwrap()["prompt"], "Why?");
/// assert_eq!(prompts[1].as_ref().unwrap_err().to_string(), "line 3 is no prompt");
/// ```
///
/// # Errors
/// Each line has its own result: [`Error::Line`] if it is longer than 1 MiB, not UTF-8, or refused by `parse`.
/// Where the text itself cannot be read on, that is the last result.
pub fn lines<P, E: Into<BoxError>>(
    text: impl BufRead,
    mut parse: impl FnMut(&str) -> Result<P, E>,
) -> impl Iterator<Item = Result<P>> {
    let numbered = (1..).zip(Lines { text, broken: false });
    numbered.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty())).map(
        move |(number, line)| {
            let prompt = line.and_then(|line| parse(line.trim()).map_err(Into::into));
            prompt.map_err(|source| Error::Line { number, source })
        },
    )
}

struct Lines<R> {
    text: R,
    broken: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        self.line().unwrap_or_else(|unreadable| {
            self.broken = true;
            Some(Err(unreadable.into()))
        })
    }
}

impl<R: BufRead> Lines<R> {
    /// The next line; the outer error ends the text, the inner one only the line.
    fn line(&mut self) -> std::io::Result<Option<Result<String, BoxError>>> {
        let mut line = Vec::new();
        let length = self.text.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        if length as u64 > LINE_BYTES_MAX && !line.ends_with(b"\n") {
            self.text.skip_until(b'\n')?;
            return Ok(Some(Err(format!("longer than {LINE_BYTES_MAX} bytes").into())));
        }
        // Without the bytes themselves, which would end up in logs.
        Ok(Some(String::from_utf8(line).map_err(|error| error.utf8_error().into())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader};

    use proptest::prelude::*;

    use super::*;

    /// The prompts, and of the others line and cause.
    fn read(text: &[u8]) -> Vec<Result<String, (u64, String)>> {
        let prompts = lines(text, |line| Ok::<_, BoxError>(line.to_owned()));
        prompts.map(|prompt| prompt.map_err(line_and_cause)).collect()
    }

    fn line_and_cause(error: Error) -> (u64, String) {
        match error {
            Error::Line { number, source } => (number, source.to_string()),
            other => panic!("another error: {other}"),
        }
    }

    #[test]
    fn lines_end_in_any_way_and_blank_ones_are_left_out() {
        assert_eq!(
            read(b"one\r\n\n  \n two \nthree"),
            ["one", "two", "three"].map(|line| Ok(line.to_owned()))
        );
    }

    #[test]
    fn line_that_is_too_long_or_not_text_is_named_and_the_next_is_read() {
        let longest = vec![b'x'; LINE_BYTES_MAX as usize];
        let text = [&longest, &b"\n"[..], &longest, b"yz\n\n\xff\nlast"].concat();

        let read = read(&text);

        assert_eq!(read[0].as_ref().map(String::len), Ok(longest.len()));
        assert_eq!(read[1], Err((2, "longer than 1048576 bytes".to_owned())));
        assert_eq!(read[2].as_ref().map_err(|(number, _)| *number), Err(4));
        assert_eq!(read[3..], [Ok("last".to_owned())]);
    }

    #[test]
    fn text_that_breaks_off_ends_with_the_reason() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let text = BufReader::new(b"one\n".chain(Broken));

        let prompts: Vec<_> = lines(text, |line| Ok::<_, BoxError>(line.to_owned())).collect();

        let [Ok(one), Err(Error::Line { number: 2, source })] = &prompts[..] else { panic!("{prompts:?}") };
        assert_eq!((one.as_str(), source.to_string().as_str()), ("one", "unplugged"));
    }

    proptest! {
        #[test]
        fn foreign_bytes_give_one_result_for_each_line_that_is_not_blank(bytes: Vec<u8>) {
            let not_blank = |line: &&[u8]| std::str::from_utf8(line).map_or(true, |line| !line.trim().is_empty());

            prop_assert_eq!(read(&bytes).len(), bytes.split(|byte| *byte == b'\n').filter(not_blank).count());
        }
    }
}
