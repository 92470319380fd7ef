//! The project's own commands; `cargo xtask help` lists them.
//!
//! Each command is a module with a `HELP` text and a `run` function. Nothing here knows what the crates
//! do: what they are, what they depend on and what their tests need is read from the workspace itself.

mod bench;
mod ci;
mod demo;
mod doctor;
mod elapsed;
mod error;
mod help;
mod kernels;
mod paint;
mod picture;
mod process;
mod say;
mod suggest;
mod table;
mod test;
mod workspace;

use std::env;
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::paint::Paint;

/// One command of `cargo xtask`.
struct Command {
    name: &'static str,
    about: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const COMMANDS: [Command; 8] = [
    Command {
        name: "test",
        about: "install what the tests need, start real servers, run all tests",
        help: test::HELP,
        run: test::run,
    },
    Command {
        name: "ci",
        about: "everything a change must pass besides the tests",
        help: ci::HELP,
        run: ci::run,
    },
    Command { name: "bench", about: "run the Criterion benches", help: bench::HELP, run: bench::run },
    Command {
        name: "doctor",
        about: "what this machine has, what it lacks, and how to mend it",
        help: doctor::HELP,
        run: doctor::run,
    },
    Command {
        name: "kernels",
        about: "the kernels' tests on an emulated ARM, and under Miri",
        help: kernels::HELP,
        run: kernels::run,
    },
    Command {
        name: "demo-model",
        about: "train the small demonstration model again",
        help: demo::HELP,
        run: demo::run,
    },
    Command {
        name: "quantizations",
        about: "measure the demonstration model in every type, for docs/quantization.md",
        help: demo::QUANTIZATIONS_HELP,
        run: demo::quantizations,
    },
    Command {
        name: "picture",
        about: "make the README's picture of the quickstart again",
        help: picture::HELP,
        run: picture::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    dispatch(&args).unwrap_or_else(|error| {
        eprintln!("{} {error}", Paint::stderr().red("error:"));
        ExitCode::FAILURE
    })
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    match args.split_first() {
        None => Ok(help::list(&COMMANDS)),
        Some((name, _)) if ["help", "-h", "--help"].contains(&name.as_str()) => {
            help::show(&COMMANDS, &args[1..])
        }
        // The servers of `test` run under this; nobody types it.
        Some((name, rest)) if name == test::GUARD => test::guard(rest),
        Some((name, rest)) => run(find(name)?, rest),
    }
}

fn run(command: &Command, args: &[String]) -> Result<ExitCode> {
    if command.name != "demo-model" && help::wanted(args) {
        return Ok(help::print(command));
    }
    (command.run)(args)
}

fn find(name: &str) -> Result<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| {
        let known = COMMANDS.map(|command| command.name);
        Error::new(format!(
            "no command `{name}`{}; `cargo xtask help` lists the commands",
            suggest::did_you_mean(name, known)
        ))
    })
}
