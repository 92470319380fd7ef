//! What was asked for on the command line.

use crate::error::{Error, Result};
use crate::suggest::did_you_mean;
use crate::workspace::{Package, Workspace};

/// The parsed command line of `cargo xtask test`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether missing things may be installed.
    pub(crate) install: bool,
    packages: Vec<String>,
    rest: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { install: true, packages: Vec::new(), rest: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--no-install" => options.install = false,
                "--" => options.pass_on(args.by_ref())?,
                _ if is_package(arg) => options.packages.push(package(arg, &mut args)?),
                _ if arg.starts_with('-') => return Err(unknown(arg)),
                _ => options.rest.push(arg.clone()),
            }
        }
        Ok(options)
    }

    /// Keeps cargo's own arguments, and takes note of the packages among them.
    fn pass_on<'a>(&mut self, mut args: impl Iterator<Item = &'a String>) -> Result<()> {
        while let Some(arg) = args.next() {
            if arg == "--" {
                self.rest.push(arg.clone());
                self.rest.extend(args.by_ref().cloned());
            } else if is_package(arg) {
                self.packages.push(package(arg, &mut args)?);
            } else {
                self.rest.push(arg.clone());
            }
        }
        Ok(())
    }

    /// The packages whose tests will run.
    pub(crate) fn selected<'w>(&self, workspace: &'w Workspace) -> Result<Vec<&'w Package>> {
        if self.packages.is_empty() {
            return Ok(workspace.packages.iter().collect());
        }
        self.packages.iter().map(|name| workspace.package(name)).collect()
    }

    /// Whether only doc tests are asked for; those cannot be built ahead.
    pub(crate) fn only_doc_tests(&self) -> bool {
        self.cargo_options().any(|arg| arg == "--doc")
    }

    /// The arguments of `cargo test`, without the word `test`.
    pub(crate) fn cargo_args(&self) -> Vec<String> {
        let mut args = vec!["--all-features".to_owned()];
        if self.packages.is_empty() {
            args.push("--workspace".to_owned());
        }
        for package in &self.packages {
            args.extend(["--package".to_owned(), package.clone()]);
        }
        if !self.cargo_options().any(|arg| arg == "--no-fail-fast") {
            args.push("--no-fail-fast".to_owned());
        }
        args.extend(self.rest.iter().cloned());
        args
    }

    fn cargo_options(&self) -> impl Iterator<Item = &String> {
        self.rest.iter().take_while(|arg| *arg != "--")
    }
}

fn is_package(arg: &str) -> bool {
    arg == "-p" || arg == "--package" || arg.starts_with("--package=")
}

fn package<'a>(arg: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<String> {
    let name = match arg.split_once('=') {
        Some((_, name)) => Some(name.to_owned()),
        None => rest.next().cloned(),
    };
    name.ok_or_else(|| Error::new(format!("{arg} needs the name of a package")))
}

fn unknown(arg: &str) -> Error {
    let hint = did_you_mean(arg, ["--no-install", "--package"]);
    Error::new(format!("no option `{arg}`{hint}; options of `cargo test` come after `--`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn nothing_asked_for_means_the_whole_workspace() {
        let options = parse("").unwrap();

        assert!(options.install);
        assert_eq!(options.cargo_args(), ["--all-features", "--workspace", "--no-fail-fast"]);
    }

    #[test]
    fn package_before_or_after_the_dashes_narrows_the_run() {
        for line in ["-p aic-cache", "-- -p aic-cache", "-- --package=aic-cache"] {
            let args = parse(line).unwrap().cargo_args();

            assert_eq!(args, ["--all-features", "--package", "aic-cache", "--no-fail-fast"], "{line}");
        }
    }

    #[test]
    fn second_dashes_and_what_follows_stay_the_test_programs() {
        let args = parse("breaker -- --lib -- -p --nocapture").unwrap().cargo_args();

        assert_eq!(
            args[1..],
            ["--workspace", "--no-fail-fast", "breaker", "--lib", "--", "-p", "--nocapture"]
        );
    }

    #[test]
    fn unknown_option_is_refused_with_the_nearest_one() {
        let error = parse("--no-instal").unwrap_err().to_string();

        assert!(error.contains("did you mean `--no-install`?"), "{error}");
        assert!(parse("-p").is_err());
    }
}
