//! Lines for the person at the terminal.

use std::fmt;
use std::io::{self, Write};
use std::process;

/// Like `println!`, but when nobody reads any more, as in `cargo xtask help | head -1`, the program ends;
/// `println!` would panic.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}

pub(crate) use say;

/// What [`say!`] calls.
pub(crate) fn line(words: fmt::Arguments<'_>) {
    if writeln!(io::stdout(), "{words}").is_err() {
        process::exit(1);
    }
}
