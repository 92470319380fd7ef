//! `cargo xtask kernels`: the kernels' tests where this machine's processor alone cannot run them.

use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;
use crate::say::say;
use crate::suggest::did_you_mean;
use crate::test::Apt;
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask kernels [arm | miri] [TEST]

Runs the tests of aic-quant's kernels in other ways than `cargo xtask test`:

  arm    compiled for 64-bit ARM, on a processor that qemu emulates
  miri   under Miri, which finds undefined behaviour, without vectors

Without a name, both. TEST is a part of the names of tests; without it, all
tests of the kernels run on ARM, and under Miri those that end in minutes.

Needs rustup. What is missing is installed: on Debian and Ubuntu the packages
qemu-user and gcc-aarch64-linux-gnu, by rustup a target and Miri.
";

const TARGET: &str = "aarch64-unknown-linux-gnu";
const PACKAGES: [&str; 3] = ["qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// Whose memory and threads are unsafe code, and which end in minutes.
const UNDER_MIRI: [&str; 6] = [
    "kernels::parts",
    "kernels::pool",
    "kernels::packed::activations",
    "kernels::packed::buffer",
    "kernels::packed::layout",
    "kernels::attention::store",
];

/// Long enough for rustup to answer from its own files.
const ASKED: Duration = Duration::from_secs(20);

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let (ways, filter) = chosen(args)?;
    if process::find(&["rustup"]).is_none() {
        return Err(Error::new("this needs rustup, which is not on the PATH: https://rustup.rs"));
    }
    for way in ways {
        match *way {
            "arm" => on_arm(filter)?,
            _ => under_miri(filter)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The ways to run them, and a part of the names of tests.
fn chosen(args: &[String]) -> Result<(&'static [&'static str], Option<&str>)> {
    const WAYS: [&str; 2] = ["arm", "miri"];
    let (ways, rest): (&[&str], _) = match args.split_first() {
        Some((name, rest)) if name == "arm" => (&WAYS[..1], rest),
        Some((name, rest)) if name == "miri" => (&WAYS[1..], rest),
        _ => (&WAYS, args),
    };
    match rest {
        [] => Ok((ways, None)),
        [filter] if !filter.starts_with('-') => Ok((ways, Some(filter))),
        [unknown, ..] => {
            let hint = did_you_mean(unknown, WAYS);
            Err(Error::new(format!("`{unknown}` is not understood{hint}; `cargo xtask help kernels`")))
        }
    }
}

fn on_arm(filter: Option<&str>) -> Result<()> {
    if !rustup("target list --installed").is_some_and(|list| list.lines().any(|line| line == TARGET)) {
        process::run(Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    if process::find(&["qemu-aarch64"]).is_none() || process::find(&["aarch64-linux-gnu-gcc"]).is_none() {
        install(&PACKAGES)?;
    }
    let mut command = tests(process::cargo());
    command
        .args(["--target", TARGET, "--", filter.unwrap_or("kernels::")])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu");
    process::run(&mut command)
}

fn under_miri(filter: Option<&str>) -> Result<()> {
    if rustup("run nightly cargo-miri --version").is_none() {
        let install = "toolchain install nightly --profile minimal --component miri --component rust-src";
        process::run(Command::new("rustup").args(install.split(' ')))?;
    }
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "miri"]).current_dir(process::root());
    let mut command = tests(cargo);
    // The toolchain that this runs with is not the one that is called.
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    let filters = filter.map_or(UNDER_MIRI.to_vec(), |filter| vec![filter]);
    command.arg("--").args(filters).env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", "4");
    process::run(&mut command)
}

/// The tests of the crate that the kernels are part of, with as little else as possible.
fn tests(mut cargo: Command) -> Command {
    cargo.args("test --package aic-quant --lib --no-default-features --features engine".split(' '));
    cargo
}

/// What rustup answers, if it does.
fn rustup(args: &str) -> Option<String> {
    process::try_read(Command::new("rustup").args(args.split(' ')), ASKED)
}

fn install(packages: &[&str]) -> Result<()> {
    let missing = || Error::new(format!("this needs {}; install them and come again", packages.join(", ")));
    let apt = Apt::here().ok_or_else(missing)?;
    say!("installing {}", packages.join(", "));
    apt.install(packages, &Workspace::load()?.target.join("kernels-install.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_by(line: &str) -> Result<(usize, Option<String>)> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        chosen(&args).map(|(ways, filter)| (ways.len(), filter.map(str::to_owned)))
    }

    #[test]
    fn without_a_way_it_is_both() {
        assert_eq!(chosen_by("").unwrap(), (2, None));
        assert_eq!(chosen_by("kernels::pool").unwrap(), (2, Some("kernels::pool".to_owned())));
        assert_eq!(chosen_by("arm").unwrap(), (1, None));
        assert_eq!(chosen_by("miri pool").unwrap(), (1, Some("pool".to_owned())));
    }

    #[test]
    fn options_and_second_filters_are_refused() {
        assert!(chosen_by("--fast").is_err());
        assert!(chosen_by("arm pool dot").is_err());
    }
}
