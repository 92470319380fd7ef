//! `cargo xtask bench`: the Criterion benches.

use std::process::{Command, ExitCode};

use crate::error::{Error, Result};
use crate::process::{self, cargo_with};
use crate::say::say;
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask bench [--save NAME | --against NAME] [ARGS]

Runs the benches of benches/ with optimisation. Results and Criterion's
estimates are written to target/criterion.

  --save NAME      keep the results as the baseline NAME
  --against NAME   compare with the baseline NAME, change nothing

ARGS go to `cargo bench` as they are:

  cargo xtask bench --bench cache        one file
  cargo xtask bench -- fingerprint       the benches whose id has that text
";

/// Runs the benches and says where the results are.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    process::run(&mut command(args)?)?;
    say!("\nresults: {}", workspace.target.join("criterion").display());
    Ok(ExitCode::SUCCESS)
}

fn command(args: &[String]) -> Result<Command> {
    let (cargo, criterion) = arguments(args)?;
    let mut command = cargo_with("bench --package aic-benches");
    command.args(cargo).arg("--").args(criterion);
    Ok(command)
}

/// What goes to cargo and what goes to Criterion.
fn arguments(args: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut cargo, mut criterion) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--save" => criterion.extend(["--save-baseline".to_owned(), value(arg, args.next())?]),
            "--against" => criterion.extend(["--baseline".to_owned(), value(arg, args.next())?]),
            "--" => criterion.extend(args.by_ref().cloned()),
            _ => cargo.push(arg.clone()),
        }
    }
    Ok((cargo, criterion))
}

fn value(option: &str, next: Option<&String>) -> Result<String> {
    let name = next.filter(|name| !name.starts_with('-'));
    name.cloned().ok_or_else(|| Error::new(format!("{option} needs the name of a baseline")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_become_criterions_own_and_the_rest_is_cargos() {
        let args = ["--save", "main", "--bench", "cache", "--", "fingerprint"].map(str::to_owned);

        let (cargo, criterion) = arguments(&args).unwrap();

        assert_eq!(cargo, ["--bench", "cache"]);
        assert_eq!(criterion, ["--save-baseline", "main", "fingerprint"]);
    }

    #[test]
    fn baseline_without_a_name_is_refused() {
        assert!(arguments(&["--save".to_owned()]).is_err());
        assert!(arguments(&["--against".to_owned(), "--bench".to_owned()]).is_err());
    }
}
