//! The tools that answer the tests' needs: found on this machine, or installed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::process;
use crate::say::say;

use super::apt::Apt;
use super::needs::Need;
use super::python::{self, Environment};

const REDIS: [&str; 2] = ["redis-server", "valkey-server"];
const MOSQUITTO: [&str; 1] = ["mosquitto"];

/// What the tests are given; `None` where no test needs it.
#[derive(Debug)]
pub(crate) struct Kit {
    pub(crate) redis: Option<PathBuf>,
    pub(crate) mosquitto: Option<PathBuf>,
    python: Option<Environment>,
    needs: Vec<Need>,
}

impl Kit {
    /// Finds what answers `needs`, and installs what is missing if it may.
    pub(crate) fn provide(needs: &[Need], target: &Path, install: bool) -> Result<Self> {
        let home = home(target);
        fs::create_dir_all(&home).map_err(|cause| Error::at(&home, cause))?;
        let missing = Missing::find(needs, target);
        if !missing.is_nothing() {
            missing.install(install)?;
        }
        Self::find(needs, target)
    }

    fn find(needs: &[Need], target: &Path) -> Result<Self> {
        let wanted = |need: Need| needs.contains(&need);
        let program = |names: &[&str]| {
            process::find(names)
                .ok_or_else(|| Error::new(format!("{} is still not here after installing it", names[0])))
        };
        Ok(Self {
            redis: wants_redis(needs).then(|| program(&REDIS)).transpose()?,
            mosquitto: wanted(Need::Mqtt).then(|| program(&MOSQUITTO)).transpose()?,
            python: wants_python(needs).then(|| Environment::find(&python_folder(target))).flatten(),
            needs: needs.to_vec(),
        })
    }

    /// Whether the tests need this.
    pub(crate) fn answers(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// The variables that name files: programs and the library.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let python = self.python.iter().flat_map(|python| {
            [(Need::Python, python.interpreter.as_path()), (Need::Onnxruntime, python.onnxruntime.as_path())]
        });
        let redis = self.redis.iter().map(|program| (Need::RedisServer, program.as_path()));
        let files = python.chain(redis).filter(|(need, _)| self.answers(*need));
        files.map(|(need, path)| (need.variable(), path))
    }
}

fn wants_redis(needs: &[Need]) -> bool {
    needs.contains(&Need::Redis) || needs.contains(&Need::RedisServer)
}

fn wants_python(needs: &[Need]) -> bool {
    needs.contains(&Need::Python) || needs.contains(&Need::Onnxruntime)
}

/// The folder of all that the tests bring along.
pub(super) fn home(target: &Path) -> PathBuf {
    target.join("test-env")
}

/// The folder of the Python environment.
pub(crate) fn python_folder(target: &Path) -> PathBuf {
    home(target).join("python")
}

/// What has to be installed, and with what.
#[derive(Debug)]
struct Missing<'a> {
    /// System packages, by Debian's names.
    packages: Vec<&'static str>,
    /// Whether the Python environment is missing or incomplete.
    python: bool,
    target: &'a Path,
}

impl<'a> Missing<'a> {
    fn find(needs: &[Need], target: &'a Path) -> Self {
        let python = wants_python(needs) && Environment::find(&python_folder(target)).is_none();
        let mut packages = Vec::new();
        if wants_redis(needs) && process::find(&REDIS).is_none() {
            packages.push("redis-server");
        }
        if needs.contains(&Need::Mqtt) && process::find(&MOSQUITTO).is_none() {
            packages.push("mosquitto");
        }
        if python && python::Base::find().is_none() {
            packages.push("python3-venv");
        }
        Self { packages, python, target }
    }

    fn is_nothing(&self) -> bool {
        self.packages.is_empty() && !self.python
    }

    fn install(&self, allowed: bool) -> Result<()> {
        if !allowed {
            return Err(self.error("--no-install was given"));
        }
        let apt = if self.packages.is_empty() { None } else { Apt::here() };
        if !self.packages.is_empty() && apt.is_none() {
            return Err(self.error("this program cannot install all of it by itself here"));
        }
        self.announce();
        if let Some(apt) = apt {
            self.step("apt-get", || apt.install(&self.packages, &home(self.target).join("apt.log")))?;
        }
        if self.python {
            let create = || {
                Environment::create(&python_folder(self.target), &home(self.target).join("pip.log")).map(drop)
            };
            self.step("pip", create)?;
        }
        Ok(())
    }

    fn step(&self, tool: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        say!("{} with {tool} …", Paint::stdout().bold("installing"));
        work().map_err(|error| Error::new(format!("{error}\n\n{}", self.by_hand())))
    }

    fn announce(&self) {
        say!("The tests need what is not here yet. This will be installed:");
        if !self.packages.is_empty() {
            say!("  {}", self.packages.join(", "));
            say!("      on this system, with apt-get; no service is started");
        }
        if self.python {
            say!("  {}", python::PACKAGES.join(", "));
            say!("      in {}, with pip", short(&python_folder(self.target)));
        }
        say!("To decline: Ctrl-C, then `cargo xtask test --no-install` shows the commands, and");
        say!("`cargo test --workspace --all-features` skips the tests that need these.\n");
    }

    fn error(&self, why: &str) -> Error {
        Error::new(format!("the tests need what is not here, and {why}.\n\n{}", self.by_hand()))
    }

    /// The command for each missing thing.
    fn by_hand(&self) -> String {
        let mut text = String::from("By hand:\n");
        if !self.packages.is_empty() {
            text += &format!("  {}\n", system_command(&self.packages));
        }
        if self.python {
            let folder = short(&python_folder(self.target));
            let packages = python::PACKAGES.map(|package| format!("'{package}'")).join(" ");
            text += &format!("  python3 -m venv {folder}\n  {folder}/bin/pip install {packages}\n");
        }
        text + "Or without: `cargo test --workspace --all-features` skips the tests that need these."
    }
}

fn system_command(packages: &[&str]) -> String {
    if cfg!(target_os = "macos") {
        let names: Vec<&str> = packages.iter().map(|name| homebrew(name)).collect();
        return format!("brew install {}", names.join(" "));
    }
    if process::find(&["apt-get"]).is_some() {
        let sudo = if Apt::here().is_some_and(Apt::is_root) { "" } else { "sudo " };
        return format!("{sudo}apt-get install --no-install-recommends {}", packages.join(" "));
    }
    format!("install {} with this system's package manager", packages.join(" and "))
}

fn homebrew(package: &str) -> &str {
    match package {
        "redis-server" => "redis",
        "python3-venv" => "python",
        other => other,
    }
}

/// `path` as seen from the workspace's folder.
fn short(path: &Path) -> String {
    path.strip_prefix(process::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_a_command_for_each_missing_thing() {
        let target = process::root().join("target");
        let missing = Missing { packages: vec!["redis-server"], python: true, target: &target };

        let error = missing.install(false).unwrap_err().to_string();

        assert!(error.contains("--no-install was given"), "{error}");
        assert!(error.contains("redis"), "{error}");
        assert!(error.contains("target/test-env/python/bin/pip install 'numpy"), "{error}");
    }

    #[test]
    fn library_is_not_handed_over_where_only_the_interpreter_is_needed() {
        let environment =
            Environment { interpreter: "python".into(), onnxruntime: "libonnxruntime.so".into() };
        let kit = Kit { redis: None, mosquitto: None, python: Some(environment), needs: vec![Need::Python] };

        let variables: Vec<_> = kit.variables().collect();

        assert_eq!(variables, [("AIC_TEST_PYTHON", Path::new("python"))]);
    }

    #[test]
    fn program_is_handed_over_to_tests_that_start_their_own_servers() {
        let redis = Some("redis-server".into());
        let kit = Kit { redis, mosquitto: None, python: None, needs: vec![Need::RedisServer] };

        let variables: Vec<_> = kit.variables().collect();

        assert_eq!(variables, [("AIC_TEST_REDIS_SERVER", Path::new("redis-server"))]);
    }
}
