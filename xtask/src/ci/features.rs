//! Each library crate without features, and with each of its features alone.

use std::process::Command;

use crate::error::{Error, Result};
use crate::process::{self, cargo_with, typed};
use crate::workspace::Package;

use super::{Context, Outcome};

/// Checks all of them with warnings denied: what is unused without its feature is found here.
pub(crate) fn check(context: &Context) -> Result<Outcome> {
    let mut commands: Vec<Command> =
        context.workspace.libraries().flat_map(checks).map(|check| clippy(&check)).collect();
    let mut failed = Vec::new();
    for command in &mut commands {
        if process::run(command).is_err() {
            failed.push(format!("`{}` failed", typed(command)));
            if !context.options.keep_going {
                break;
            }
        }
    }
    if failed.is_empty() {
        return Ok(Outcome::Passed(format!("{} combinations", commands.len())));
    }
    Err(Error::new(failed.join("\n       ")))
}

fn clippy(selection: &str) -> Command {
    cargo_with(&format!("clippy --quiet {selection} -- -D warnings"))
}

/// The arguments that select the package and its features.
fn checks(package: &Package) -> Vec<String> {
    let bare = format!("--package {} --no-default-features", package.name);
    let features =
        package.features.iter().filter(|feature| !(feature.name == "default" && feature.enables.is_empty()));
    let alone = features.map(|feature| format!("{bare} --features {}", feature.name));
    [bare.clone()].into_iter().chain(alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Feature;

    #[test]
    fn package_is_checked_bare_and_with_each_feature() {
        let feature = |name: &str, enables: &[&str]| Feature {
            name: name.to_owned(),
            enables: enables.iter().map(|&name| name.to_owned()).collect(),
        };
        let features = vec![feature("default", &[]), feature("redis", &["dep:redis"])];
        let package = Package { name: "aic-cache".to_owned(), features, ..Package::default() };

        let bare = "--package aic-cache --no-default-features";
        assert_eq!(checks(&package), [bare.to_owned(), format!("{bare} --features redis")]);
    }
}
