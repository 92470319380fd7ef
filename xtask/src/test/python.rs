//! A Python of the project's own, with the packages that tests compare against.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;

/// What pip installs. The tests read `.gguf` files with gguf, compute with numpy, and load the library
/// that is inside onnxruntime's wheel; older onnxruntimes lack an optimisation level that `ort` asks for.
pub(crate) const PACKAGES: [&str; 3] = ["numpy>=1.26", "gguf>=0.10", "onnxruntime>=1.23"];

/// Prints the path of libonnxruntime, if all packages are there.
const INSPECT: &str = "
import glob, importlib.util, os
numpy, gguf, onnxruntime = map(importlib.util.find_spec, ('numpy', 'gguf', 'onnxruntime'))
assert numpy and gguf and onnxruntime
print(glob.glob(os.path.join(os.path.dirname(onnxruntime.origin), 'capi', 'libonnxruntime.*'))[0])
";

const PATIENCE: Duration = Duration::from_secs(30);

/// A virtual environment with all of [`PACKAGES`].
#[derive(Debug)]
pub(crate) struct Environment {
    /// Its `python`.
    pub(crate) interpreter: PathBuf,
    /// The library file of onnxruntime.
    pub(crate) onnxruntime: PathBuf,
}

impl Environment {
    /// The one in `folder`, if it is there and complete.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let interpreter = interpreter(folder);
        let library = process::try_read(Command::new(&interpreter).args(["-c", INSPECT]), PATIENCE)?;
        Some(Self { interpreter, onnxruntime: PathBuf::from(library.trim()) })
    }

    /// Makes one in `folder`, in place of what was there.
    pub(crate) fn create(folder: &Path, log: &Path) -> Result<Self> {
        let base = Base::find().ok_or_else(|| Error::new("no Python 3 with the modules venv and pip"))?;
        process::run_logged(&mut base.venv(folder), log)?;
        process::run_logged(&mut base.pip_install(folder), log)?;
        Self::find(folder).ok_or_else(|| {
            Error::new(format!(
                "the Python packages in {} do not work; see {}",
                folder.display(),
                log.display()
            ))
        })
    }
}

/// A Python 3 that can make a virtual environment with packages in it.
#[derive(Debug)]
pub(crate) struct Base {
    python: PathBuf,
    /// Debian keeps `ensurepip` in a package of its own. Without it the environment gets no pip, and this
    /// Python's pip fills it from outside.
    has_ensurepip: bool,
}

impl Base {
    /// The first on this machine; a Python that needs nothing else is preferred.
    pub(crate) fn find() -> Option<Self> {
        let with = |modules: &str, has_ensurepip| {
            let python = pythons().find(|python| imports(python, modules))?;
            Some(Self { python, has_ensurepip })
        };
        with("venv, ensurepip", true).or_else(|| with("venv, pip", false))
    }

    fn venv(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "venv", "--clear"]);
        if !self.has_ensurepip {
            command.arg("--without-pip");
        }
        command.arg(folder);
        command
    }

    fn pip_install(&self, folder: &Path) -> Command {
        let inside = interpreter(folder);
        let mut command = Command::new(if self.has_ensurepip { &inside } else { &self.python });
        command.args(["-m", "pip"]);
        if !self.has_ensurepip {
            command.arg("--python").arg(&inside);
        }
        command.args(["install", "--disable-pip-version-check", "--only-binary", ":all:"]).args(PACKAGES);
        command
    }
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin").join("python")
}

/// The one in `PATH`, then the system's, which is the one that Debian's packages extend.
fn pythons() -> impl Iterator<Item = PathBuf> {
    process::find(&["python3"]).into_iter().chain([PathBuf::from("/usr/bin/python3")])
}

fn imports(python: &Path, modules: &str) -> bool {
    process::try_read(Command::new(python).args(["-c", &format!("import {modules}")]), PATIENCE).is_some()
}
