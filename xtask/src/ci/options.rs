//! What was asked for on the command line.

use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// The parsed command line of `cargo xtask ci`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether the steps after a failed one run.
    pub(crate) keep_going: bool,
    /// Whether missing tools may be installed.
    pub(crate) install: bool,
    steps: Vec<String>,
}

impl Options {
    /// Parses `args`, where `steps` are the names of all steps.
    pub(crate) fn parse<const N: usize>(args: &[String], steps: [&str; N]) -> Result<Self> {
        let mut options = Self { keep_going: false, install: true, steps: Vec::new() };
        for arg in args {
            match arg.as_str() {
                "--keep-going" => options.keep_going = true,
                "--no-install" => options.install = false,
                name if steps.contains(&name) => options.steps.push(arg.clone()),
                name => return Err(unknown(name, &steps)),
            }
        }
        Ok(options)
    }

    /// Whether the step of that name is to run.
    pub(crate) fn wants(&self, step: &str) -> bool {
        self.steps.is_empty() || self.steps.iter().any(|name| name == step)
    }
}

fn unknown(arg: &str, steps: &[&str]) -> Error {
    let known = steps.iter().copied().chain(["--keep-going", "--no-install"]);
    let hint = did_you_mean(arg, known);
    Error::new(format!("no step or option `{arg}`{hint}; the steps are {}", steps.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args, ["format", "clippy"])
    }

    #[test]
    fn no_step_named_means_all_of_them() {
        let options = parse("--keep-going").unwrap();

        assert!(options.wants("format") && options.wants("clippy") && options.keep_going);
    }

    #[test]
    fn named_step_runs_alone() {
        let options = parse("clippy").unwrap();

        assert!(options.wants("clippy") && !options.wants("format"));
    }

    #[test]
    fn unknown_step_is_refused_with_the_nearest_one() {
        let error = parse("clipy").unwrap_err().to_string();

        assert!(error.contains("did you mean `clippy`?"), "{error}");
    }
}
