//! Other programs: found, announced, run, and ended when they take too long.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::say::say;

/// Folders that hold servers and that a plain user's `PATH` often leaves out.
const SBIN: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin"];

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The cargo that runs these commands, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Cargo with `args`, separated by spaces.
pub(crate) fn cargo_with(args: &str) -> Command {
    let mut command = cargo();
    command.args(args.split_whitespace());
    command
}

/// Prints `command` as one would type it.
pub(crate) fn announce(command: &Command) {
    say!("{}", Paint::stdout().dim(&format!("$ {}", typed(command))));
}

/// Announces `command`, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().map_err(|cause| cannot_run(command, &cause))?;
    succeeded(command, status)
}

/// Runs `command` in silence and returns what it wrote to its standard output.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|cause| cannot_run(command, &cause))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` in silence, both streams written to the file `log`; a failure shows its last lines.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).map_err(|cause| Error::at(log, cause))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .map_err(|cause| cannot_run(command, &cause))?;
    succeeded(command, status)
        .map_err(|error| Error::new(format!("{error}\n{}\nall of it: {}", tail(log), log.display())))
}

/// Runs `command` in silence and returns what it wrote, or `None` when it fails, is not there, or is still
/// running after `limit`; then it is ended.
///
/// For programs that write little: nobody reads their output before they end.
pub(crate) fn try_read(command: &mut Command, limit: Duration) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let end = Instant::now() + limit;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= end {
            // Only fails when the program has just ended by itself.
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first of `names` that this machine has.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    names.iter().find_map(|name| {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(SBIN.iter().map(PathBuf::from));
        folders.map(|folder| folder.join(name)).find(|file| file.is_file())
    })
}

/// The last lines of a log, indented.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last: Vec<String> =
        lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("  {line}")).collect();
    last.join("\n")
}

/// `command` as one would type it: the program's name without its folder, then the arguments.
pub(crate) fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("`{}` failed ({status})", typed(command))))
}

fn cannot_run(command: &Command, cause: &std::io::Error) -> Error {
    Error::new(format!("cannot run `{}`: {cause}", command.get_program().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--bench", "*"]);

        assert_eq!(typed(&command), "cargo test --bench '*'");
    }
}
