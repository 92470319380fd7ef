//! What `cargo xtask help` prints.

use std::process::ExitCode;

use crate::error::Result;
use crate::paint::Paint;
use crate::say::say;
use crate::{Command, find};

/// Whether `args`, up to a `--`, ask for help.
pub(crate) fn wanted(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "-h" || arg == "--help")
}

/// Prints the commands with a line on each.
pub(crate) fn list(commands: &[Command]) -> ExitCode {
    let paint = Paint::stdout();
    say!("The project's own commands: cargo xtask COMMAND\n");
    for Command { name, about, .. } in commands {
        say!("  {}  {about}", paint.bold(&format!("{name:<10}")));
    }
    say!("\n`cargo xtask help COMMAND` says more about one.");
    ExitCode::SUCCESS
}

/// Prints the help of the command that `args` name, or the list.
pub(crate) fn show(commands: &[Command], args: &[String]) -> Result<ExitCode> {
    match args {
        [] => Ok(list(commands)),
        [name, ..] => Ok(print(find(name)?)),
    }
}

/// Prints the help of one command.
pub(crate) fn print(command: &Command) -> ExitCode {
    say!("{}", command.help.trim_end());
    ExitCode::SUCCESS
}
