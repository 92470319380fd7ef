//! `cargo xtask ci`: everything a change must pass besides the tests, each step timed.
//!
//! The order is cheap things first. The steps share what they build: clippy and the tests use one set of
//! features and one profile, so that the heavy dependencies compile once.

mod deny;
mod features;
mod house;
mod options;
mod tidy;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::elapsed::elapsed;
use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::process::{self, cargo_with};
use crate::say::say;
use crate::table::{Align, Table, Tone};
use crate::workspace::Workspace;

use options::Options;

pub(crate) const HELP: &str = "\
cargo xtask ci [--keep-going] [--no-install] [STEP]...

Runs all steps, or those named, and stops at the first that fails.

  tidy         the rule of the house; lints and unsafe code; long files
  format       cargo fmt --check
  clippy       all targets, all features, warnings denied
  docs         rustdoc, warnings and broken links denied
  features     each library without features, and with each feature alone
  build        all programs, examples and benches
  benches      each bench once, without measuring
  licences     cargo-deny: licences, sources and banned crates
  advisories   cargo-deny: known weaknesses; skipped where the database
               cannot be fetched

  --keep-going   run the other steps after one has failed
  --no-install   fail where cargo-deny is missing; without this option it is
                 built into target/tools
";

/// A check with a name.
struct Step {
    name: &'static str,
    run: fn(&Context) -> Result<Outcome>,
}

/// What the steps look at.
struct Context {
    workspace: Workspace,
    options: Options,
}

/// How a step that did not fail has ended.
enum Outcome {
    Passed(String),
    Skipped(String),
}

const STEPS: [Step; 9] = [
    Step { name: "tidy", run: |context| tidy::check(&context.workspace).map(Outcome::Passed) },
    Step { name: "format", run: |_| format() },
    Step {
        name: "clippy",
        run: |_| cargo_passes("clippy --workspace --all-features --all-targets -- -D warnings"),
    },
    Step { name: "docs", run: |_| docs() },
    Step { name: "features", run: features::check },
    Step { name: "build", run: |_| cargo_passes("build --workspace --all-features --all-targets") },
    Step { name: "benches", run: |context| benches(&context.workspace) },
    Step { name: "licences", run: deny::licences },
    Step { name: "advisories", run: deny::advisories },
];

/// Runs the steps that were asked for and prints how each has ended.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let options = Options::parse(args, STEPS.map(|step| step.name))?;
    let context = Context { workspace: Workspace::load()?, options };
    let start = Instant::now();
    let mut done = Vec::new();
    for step in STEPS.iter().filter(|step| context.options.wants(step.name)) {
        let result = timed(step, &context);
        let failed = result.outcome.is_err();
        done.push(result);
        if failed && !context.options.keep_going {
            break;
        }
    }
    say!("\n{}", table(&done));
    Ok(conclude(&done, &context.options, start.elapsed()))
}

/// A step that has been run.
struct Done {
    name: &'static str,
    outcome: Result<Outcome>,
    time: Duration,
}

fn timed(step: &Step, context: &Context) -> Done {
    say!("\n{}", Paint::stdout().bold(&format!("== {} ==", step.name)));
    let start = Instant::now();
    let outcome = (step.run)(context);
    if let Err(error) = &outcome {
        eprintln!("{} {error}", Paint::stderr().red("error:"));
    }
    Done { name: step.name, outcome, time: start.elapsed() }
}

fn table(done: &[Done]) -> Table<4> {
    let head = [("step", Align::Left), ("result", Align::Left), ("time", Align::Right), ("", Align::Left)];
    let mut table = Table::new(head);
    for Done { name, outcome, time } in done {
        let (tone, result, note) = match outcome {
            Ok(Outcome::Passed(note)) => (Tone::Good, "passed", note.as_str()),
            Ok(Outcome::Skipped(why)) => (Tone::Faint, "skipped", why.as_str()),
            Err(_) => (Tone::Bad, "failed", ""),
        };
        table.row(tone, [(*name).to_owned(), result.to_owned(), elapsed(*time), note.to_owned()]);
    }
    table
}

fn conclude(done: &[Done], options: &Options, time: Duration) -> ExitCode {
    let failed: Vec<&str> = done.iter().filter(|done| done.outcome.is_err()).map(|done| done.name).collect();
    let left = STEPS.iter().filter(|step| options.wants(step.name)).count() - done.len();
    let skipped = done.iter().filter(|done| matches!(done.outcome, Ok(Outcome::Skipped(_)))).count();
    if failed.is_empty() {
        let but = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        say!("{} passed{but} in {}", done.len() - skipped, elapsed(time));
        return ExitCode::SUCCESS;
    }
    say!("failed in {}: {}", elapsed(time), failed.join(", "));
    if left > 0 {
        say!("{left} not run; `cargo xtask ci --keep-going` runs all");
    }
    ExitCode::FAILURE
}

fn cargo_passes(args: &str) -> Result<Outcome> {
    process::run(&mut cargo_with(args))?;
    Ok(Outcome::Passed(String::new()))
}

/// Left to itself, rustfmt colours its output in a log file, too.
fn format() -> Result<Outcome> {
    let color = if Paint::stdout().is_on() { "always" } else { "never" };
    cargo_passes(&format!("fmt --all --check -- --color {color}"))
}

fn docs() -> Result<Outcome> {
    let mut command = cargo_with("doc --workspace --all-features --no-deps");
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed(String::new()))
}

/// Criterion runs each bench once when cargo runs them as tests; so they need no optimised build.
fn benches(workspace: &Workspace) -> Result<Outcome> {
    if !workspace.packages.iter().any(|package| package.has("bench")) {
        return Err(Error::new("no bench found in this workspace"));
    }
    cargo_passes("test --workspace --all-features --bench *")
}
