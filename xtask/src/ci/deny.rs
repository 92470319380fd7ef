//! cargo-deny, found or built, and what it says about the dependencies.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::{self, cargo};
use crate::say::say;

use super::{Context, Outcome};

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// How long fetching the database of advisories may take.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// Licences, sources and banned crates: all of it is known without the network.
pub(crate) fn licences(context: &Context) -> Result<Outcome> {
    let program = provide(context)?;
    process::run(&mut deny(&program, "check --hide-inclusion-graph bans licenses sources"))?;
    Ok(Outcome::Passed(String::new()))
}

/// Known weaknesses, if the database can be fetched now: an old copy would be a false comfort.
pub(crate) fn advisories(context: &Context) -> Result<Outcome> {
    let program = provide(context)?;
    let mut fetch = deny(&program, "fetch db");
    process::announce(&fetch);
    if process::try_read(&mut fetch, FETCH_LIMIT).is_none() {
        let why = "the database could not be fetched";
        say!("{why}, so the dependencies were NOT checked for known weaknesses");
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    process::run(&mut deny(&program, "check --disable-fetch advisories"))?;
    Ok(Outcome::Passed(String::new()))
}

fn deny(program: &PathBuf, args: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(process::root()).args(args.split_whitespace());
    command
}

/// The `cargo-deny` of this machine, or one built into `target/tools`.
fn provide(context: &Context) -> Result<PathBuf> {
    let tools = context.workspace.target.join("tools");
    let built = tools.join("bin").join("cargo-deny");
    if let Some(found) = process::find(&["cargo-deny"]).or_else(|| built.is_file().then(|| built.clone())) {
        return Ok(found);
    }
    if !context.options.install {
        return Err(Error::new(format!(
            "cargo-deny is not here and --no-install was given; `cargo install cargo-deny@{VERSION} --locked`"
        )));
    }
    say!("cargo-deny is not here; building it into {} (to decline: --no-install)", tools.display());
    // A debug build: it is made in a third of the time and has little to do.
    let mut install = cargo();
    install.args(["install", &format!("cargo-deny@{VERSION}"), "--locked", "--debug", "--quiet", "--root"]);
    process::run(install.arg(&tools))?;
    Ok(built)
}
