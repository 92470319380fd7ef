//! Cargo builds the tests, then runs them while their results are counted.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::process::{announce, cargo};
use crate::say::say;
use crate::workspace::Workspace;

use super::kit::Kit;
use super::options::Options;
use super::report::Report;
use super::servers::Servers;

/// Which package a test program or the doc tests of a library belong to, by file name or library name.
pub(crate) type Suites = HashMap<String, String>;

/// Builds all test programs, with cargo's own progress and messages on the terminal.
pub(crate) fn build(options: &Options, workspace: &Workspace) -> Result<Suites> {
    let mut suites = doc_tests(workspace);
    if options.only_doc_tests() {
        return Ok(suites);
    }
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]).args(options.cargo_args());
    announce(&command);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
    for line in BufReader::new(stdout).lines() {
        suites.extend(test_program(&line?, workspace));
    }
    if child.wait()?.success() { Ok(suites) } else { Err(Error::new("the tests do not compile")) }
}

/// Runs the tests; everything is shown as it comes.
pub(crate) fn run(options: &Options, suites: Suites, kit: &Kit, servers: &Servers) -> Result<Report> {
    let mut command = cargo();
    command.arg("test").args(options.cargo_args());
    command.envs(kit.variables()).envs(servers.variables()).env("AIC_TEST_REQUIRE", "1");
    if Paint::stdout().is_on() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    say!("");
    announce(&command);
    let mut report = Report::new(suites);
    let success = watch(command, &mut report)?;
    report.finish(success);
    Ok(report)
}

/// Both streams through one pipe: cargo names a program on one and the program reports on the other, and
/// only together are they in order.
fn watch(mut command: Command, report: &mut Report) -> Result<bool> {
    let (reader, writer) = io::pipe()?;
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // The command holds the write ends, and the pipe ends only when all of them are closed.
    drop(command);
    copy(reader, report)?;
    Ok(child.wait()?.success())
}

fn copy(mut reader: PipeReader, report: &mut Report) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&buffer[..length])?;
        stdout.flush()?;
        report.read(&buffer[..length]);
    }
}

fn doc_tests(workspace: &Workspace) -> Suites {
    let libraries = workspace.packages.iter().flat_map(|package| {
        let targets = package.targets.iter().filter(|target| target.kind == "lib");
        targets.map(|target| (target.name.clone(), package.name.clone()))
    });
    libraries.collect()
}

/// Reads one of cargo's messages: the file name of a test program and its package.
fn test_program(line: &str, workspace: &Workspace) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let file = Path::new(message["executable"].as_str()?).file_name()?.to_str()?;
    let package = workspace.packages.iter().find(|package| message["package_id"] == package.id.as_str())?;
    (message["profile"]["test"] == true).then(|| (file.to_owned(), package.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn test_program_in_cargos_messages_belongs_to_its_package() {
        let package = Package { name: "aic-cache".into(), id: "path+aic-cache".into(), ..Package::default() };
        let workspace = Workspace { packages: vec![package], target: "/w/target".into() };
        let message = |test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact", "package_id": "path+aic-cache",
                "executable": "/w/target/debug/deps/it-0123", "profile": { "test": test },
            })
            .to_string()
        };

        let found = test_program(&message(true), &workspace);

        assert_eq!(found, Some(("it-0123".to_owned(), "aic-cache".to_owned())));
        assert_eq!(test_program(&message(false), &workspace), None);
        assert_eq!(test_program("not a message", &workspace), None);
    }
}
