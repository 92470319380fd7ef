//! `cargo xtask doctor`: what this machine has, what it lacks, and how to mend it.

mod checks;
mod network;
mod version;

use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::say::say;
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask doctor [--json]

Looks for what building needs, what the tests need, and what makes aic faster
or better at run time, and says how to get what is missing. Nothing is
installed or changed; of API keys only the variable's name is shown.

  --json   one JSON object a line, for programs

Fails when something is missing that building needs.
";

/// One thing looked for.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What it is, in a word or two.
    pub(crate) subject: &'static str,
    pub(crate) state: State,
    /// What was found, or what the lack means.
    pub(crate) detail: String,
    /// What to do about it, in plain words.
    pub(crate) fix: Option<String>,
}

/// Whether a thing is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Here,
    /// Not here, and aic does without.
    Optional,
    /// Not here, and nothing can be built without.
    Missing,
}

/// Looks and prints.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let print = printer(args)?;
    let sections = checks::all(&Workspace::load()?);
    for (title, findings) in &sections {
        print(title, findings);
    }
    let missing =
        sections.iter().flat_map(|(_, findings)| findings).any(|finding| finding.state == State::Missing);
    Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn printer(args: &[String]) -> Result<fn(&str, &[Finding])> {
    match args {
        [] => Ok(print_lines),
        [json] if json == "--json" => Ok(print_json),
        [other, ..] => Err(Error::new(format!("no option `{other}`; `cargo xtask help doctor` lists them"))),
    }
}

fn print_lines(title: &str, findings: &[Finding]) {
    say!("{}", Paint::stdout().bold(title));
    for finding in findings {
        say!("  {} {:<13} {}", mark(finding.state), finding.subject, finding.detail);
        if let Some(fix) = &finding.fix {
            say!("      {}", Paint::stdout().dim(&format!("→ {fix}")));
        }
    }
    say!("");
}

fn print_json(title: &str, findings: &[Finding]) {
    for Finding { subject, state, detail, fix } in findings {
        let (here, needed) = (*state == State::Here, *state == State::Missing);
        let line = serde_json::json!({
            "section": title, "subject": subject, "here": here, "needed": needed, "detail": detail, "fix": fix,
        });
        say!("{line}");
    }
}

fn mark(state: State) -> String {
    let paint = Paint::stdout();
    match state {
        State::Here => paint.green("✔"),
        State::Optional => paint.yellow("✘"),
        State::Missing => paint.red("✘"),
    }
}
