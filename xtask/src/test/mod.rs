//! `cargo xtask test`: everything the tests need, then the tests, then the numbers.

mod apt;
mod guard;
mod kit;
mod needs;
mod options;
mod python;
mod report;
mod runner;
mod servers;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use crate::error::Result;
use crate::say::say;
use crate::workspace::Workspace;

use kit::Kit;
use options::Options;
use servers::Servers;

pub(crate) use apt::Apt;
pub(crate) use guard::{GUARD, guard};
pub(crate) use kit::python_folder;
pub(crate) use python::Environment;

pub(crate) const HELP: &str = "\
cargo xtask test [--no-install] [-p CRATE]... [NAME] [-- ARGS]

Runs all tests and doc tests of the workspace with all features, against real
servers where a test wants one, and ends with the numbers of each crate.

  --no-install   install nothing; fail and say what is missing
  -p CRATE       only the tests of this crate, and only what they need
  NAME           only the tests whose name has this text
  -- ARGS        go to `cargo test` as they are

What the tests need and this machine lacks is named, then installed:
redis-server and mosquitto with apt-get, without starting their services;
numpy, gguf and onnxruntime with pip, into target/test-env. The servers run on
free ports of 127.0.0.1, keep nothing, and end with the tests. To use your own:
AIC_TEST_REDIS_URL, AIC_TEST_REDIS_SERVER (the program, for tests that kill
their servers), AIC_TEST_MQTT_URL, AIC_TEST_ONNXRUNTIME_LIB (the library file),
AIC_TEST_PYTHON (a Python with numpy and gguf).
";

/// Installs, builds, runs and counts.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    // Asked before building, which may replace the file this program was started from.
    let this_program = env::current_exe()?;
    let options = Options::parse(args)?;
    let workspace = Workspace::load()?;
    let needs = needs::of(&options.selected(&workspace)?)?;
    let kit = Kit::provide(&needs, &workspace.target, options.install)?;

    let start = Instant::now();
    let suites = runner::build(&options, &workspace)?;
    let built = start.elapsed();
    let servers = Servers::start(&kit, &this_program, &workspace.target)?;
    let report = runner::run(&options, suites, &kit, &servers)?;
    drop(servers);

    say!("{}", report.summary(built, start.elapsed() - built));
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
