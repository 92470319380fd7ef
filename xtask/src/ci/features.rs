//! Each library crate without features, and with each of its features alone.

use crate::error::Result;
use crate::process::{self, cargo_with};
use crate::workspace::{Package, Workspace};

/// Checks all of them with warnings denied: what is unused without its feature is found here.
pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let checks: Vec<String> = workspace.libraries().flat_map(checks).collect();
    for check in &checks {
        process::run(&mut cargo_with(&format!("clippy --quiet {check} -- -D warnings")))?;
    }
    Ok(format!("{} combinations", checks.len()))
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
