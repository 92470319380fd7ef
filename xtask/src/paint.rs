//! Colours, where a person looks on and has not asked for none.

use std::env;
use std::io::{self, IsTerminal};

/// Paints text for one of the two output streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn stdout() -> Self {
        Self::on(io::stdout().is_terminal())
    }

    pub(crate) fn stderr() -> Self {
        Self::on(io::stderr().is_terminal())
    }

    /// Colours only on a terminal, and none where [`NO_COLOR`](https://no-color.org) is set.
    fn on(terminal: bool) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: terminal && !refused && !dumb }
    }

    /// Whether colours are written at all.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `text` without terminal escape sequences of the form `ESC [ … letter`.
pub(crate) fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split("\x1b[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painted_text_stripped_is_the_text_again() {
        let paint = Paint { on: true };

        let painted = format!("a {} c", paint.red("b"));

        assert_ne!(painted, "a b c");
        assert_eq!(strip(&painted), "a b c");
    }

    #[test]
    fn paint_that_is_off_leaves_text_alone() {
        assert_eq!(Paint { on: false }.red("b"), "b");
    }
}
