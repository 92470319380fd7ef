//! What no compiler checks: who depends on whom, who opts out of the lints, which files have grown too long.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::paint::Paint;
use crate::process;
use crate::say::say;
use crate::workspace::{Package, Workspace, rust_files};

use super::house;

/// Longer files are named, unless one says why: a line with [`REASON`].
const LONG: usize = 700;
const REASON: &str = "// long on purpose:";

/// Where `unsafe` may stand: the kernels of the quantizer.
const UNSAFE_ALLOWED: &str = "crates/aic-quant/src/kernel";

/// Fails with all that is broken; long files are warned of and counted.
pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let mut broken = house::broken(workspace.libraries());
    broken.extend(
        workspace
            .packages
            .iter()
            .filter(|package| !shares_lints(package))
            .map(|package| format!("{}: its Cargo.toml lacks `[lints] workspace = true`", package.name)),
    );
    let files = sources(workspace)?;
    broken.extend(files.iter().flat_map(Source::unsafe_code));
    let long: Vec<String> = files.iter().filter_map(Source::too_long).collect();
    for warning in &long {
        say!("{} {warning}", Paint::stdout().yellow("warning:"));
    }
    if broken.is_empty() {
        Ok(note(files.len(), long.len()))
    } else {
        Err(Error::new(broken.join("\n       ")))
    }
}

fn note(files: usize, long: usize) -> String {
    match long {
        0 => format!("{files} files"),
        _ => format!("{files} files, {long} long"),
    }
}

/// The workspace's lints forbid unsafe code, so a package must not leave them out. The kernels may: their
/// package lists its own.
fn shares_lints(package: &Package) -> bool {
    let manifest = fs::read_to_string(package.folder.join("Cargo.toml")).unwrap_or_default();
    let has_kernels = UNSAFE_ALLOWED.starts_with(&format!("crates/{}/", package.name));
    manifest.contains("[lints]\nworkspace = true") || (has_kernels && manifest.contains("[lints.rust]"))
}

fn sources(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for package in &workspace.packages {
        for file in rust_files(&package.folder)? {
            sources.push(Source::read(&file)?);
        }
    }
    Ok(sources)
}

/// A Rust file of the workspace.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|cause| Error::at(file, cause))?;
        let path = file.strip_prefix(process::root()).unwrap_or(file).to_path_buf();
        Ok(Self { path, text })
    }

    fn too_long(&self) -> Option<String> {
        let lines = self.text.lines().count();
        let explained = self.text.contains(REASON);
        (lines > LONG && !explained).then(|| {
            format!("{} has {lines} lines; split it, or say why in a line `{REASON} …`", self.path.display())
        })
    }

    /// A sentence for each line with unsafe code outside the kernels.
    fn unsafe_code(&self) -> Vec<String> {
        if self.path.to_string_lossy().starts_with(UNSAFE_ALLOWED) {
            return Vec::new();
        }
        let lines = self.text.lines().enumerate().filter(|(_, line)| has_unsafe(line));
        lines
            .map(|(at, _)| format!("{}:{}: unsafe code outside the kernels", self.path.display(), at + 1))
            .collect()
    }
}

/// Whether code on this line, outside comments and strings, opens a block or declares an item that is
/// unsafe.
///
/// Line by line, so the inside of a string of several lines counts as code.
fn has_unsafe(line: &str) -> bool {
    let code: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    let code = code.split("//").next().unwrap_or_default();
    let words: Vec<&str> = code.split_whitespace().collect();
    let opens =
        |word: &str| ["{", "fn", "impl", "trait", "extern"].iter().any(|start| word.starts_with(start));
    code.contains("[unsafe(") || words.windows(2).any(|pair| pair[0].ends_with("unsafe") && opens(pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn word_in_code_is_found_and_in_comments_strings_and_names_it_is_not() {
        assert!(has_unsafe("    let x = unsafe { *p };"));
        assert!(has_unsafe("pub unsafe fn f() {}"));
        assert!(has_unsafe("call(unsafe { b });"));
        assert!(has_unsafe("#[unsafe(no_mangle)]"));
        assert!(!has_unsafe("/// Never unsafe."));
        assert!(!has_unsafe(&format!("let word = {:?};", "unsafe { }")));
        assert!(!has_unsafe("#![forbid(unsafe_code)]"));
    }

    #[test]
    fn kernels_may_and_others_may_not() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";

        assert_eq!(source("crates/aic-quant/src/kernels/avx2.rs", text).unsafe_code(), Vec::<String>::new());
        let found = source("crates/aic-cache/src/lib.rs", text).unsafe_code();
        assert_eq!(found, ["crates/aic-cache/src/lib.rs:2: unsafe code outside the kernels"]);
    }

    #[test]
    fn long_file_is_named_unless_it_says_why() {
        let long = "\n".repeat(LONG + 1);

        assert!(source("a.rs", &long).too_long().is_some());
        assert!(source("a.rs", &format!("{REASON} a table\n{long}")).too_long().is_none());
        assert!(source("a.rs", "fn f() {}\n").too_long().is_none());
    }
}
