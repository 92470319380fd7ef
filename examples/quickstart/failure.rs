//! What went wrong, in one sentence, and what to do.
use std::error::Error as _;
use std::process::ExitCode;

use anstream::eprintln;
use serde_json::json;

use crate::show::{BAD, DIM};

/// Prints an error with its causes and the way out, and returns the exit code for it.
pub(crate) fn tell(error: &aic::Error, as_json: bool) -> ExitCode {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let line = causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"));
    if as_json {
        std::println!("{}", json!({ "error": line, "advice": advice(error) }));
    } else {
        eprintln!("{BAD}error{BAD:#}: {line}");
        if let Some(advice) = advice(error) {
            eprintln!("{DIM}{advice}{DIM:#}");
        }
    }
    ExitCode::FAILURE
}

fn advice(error: &aic::Error) -> Option<&'static str> {
    Some(match error {
        aic::Error::Config { .. } => "correct the setting, or remove it to get the default",
        aic::Error::Model { .. } => {
            "check the path, fetch the file again, or leave out --model for the demonstration model"
        }
        _ => return None,
    })
}
