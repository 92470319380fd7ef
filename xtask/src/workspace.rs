//! The workspace as `cargo metadata` tells it: packages, features, dependencies, targets.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::process::{self, cargo_with};
use crate::suggest::did_you_mean;

/// The packages of this workspace and the folder they are built in.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target: PathBuf,
}

/// One package, as its manifest describes it.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) features: Vec<Feature>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    pub(crate) rust_version: Option<String>,
}

/// A feature and what it switches on.
#[derive(Debug)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) enables: Vec<String>,
}

/// A dependency of any kind: normal, build or development.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) optional: bool,
}

/// A thing that cargo builds from a package.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let text = process::read(&mut cargo_with("metadata --no-deps --format-version 1"))?;
        let value =
            serde_json::from_str(&text).map_err(|cause| Error::new(format!("cargo metadata: {cause}")))?;
        Ok(Self::from_json(&value))
    }

    fn from_json(value: &Value) -> Self {
        Self {
            packages: list(&value["packages"], Package::from_json),
            target: PathBuf::from(text(&value["target_directory"])),
        }
    }

    /// The package of that name.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.packages.iter().find(|package| package.name == name).ok_or_else(|| {
            let names = self.packages.iter().map(|package| package.name.as_str());
            Error::new(format!("no package `{name}` in this workspace{}", did_you_mean(name, names)))
        })
    }

    /// The library crates: the packages under `crates/`.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_library())
    }
}

impl Package {
    fn from_json(value: &Value) -> Self {
        let mut folder = PathBuf::from(text(&value["manifest_path"]));
        folder.pop();
        Self {
            name: text(&value["name"]),
            id: text(&value["id"]),
            folder,
            features: features(&value["features"]),
            dependencies: list(&value["dependencies"], Dependency::from_json),
            targets: list(&value["targets"], Target::from_json),
            rust_version: value["rust_version"].as_str().map(str::to_owned),
        }
    }

    pub(crate) fn is_library(&self) -> bool {
        self.folder.parent().is_some_and(|parent| parent.ends_with("crates"))
    }

    /// Whether the package has a target of this kind: `lib`, `bin`, `bench`, …
    pub(crate) fn has(&self, kind: &str) -> bool {
        self.targets.iter().any(|target| target.kind == kind)
    }
}

impl Dependency {
    fn from_json(value: &Value) -> Self {
        Self { name: text(&value["name"]), optional: value["optional"] == true }
    }
}

impl Target {
    fn from_json(value: &Value) -> Self {
        Self { name: text(&value["name"]), kind: text(&value["kind"][0]) }
    }
}

/// All Rust sources in `folder`, sorted; hidden folders and build results left out.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|cause| Error::at(folder, cause))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = name == "target" || name.to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() && !skipped {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn features(value: &Value) -> Vec<Feature> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, enables)| Feature { name: name.clone(), enables: list(enables, text) }).collect()
}

fn list<T>(value: &Value, read: fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_with_features_dependencies_and_targets() {
        let json = serde_json::json!({
            "target_directory": "/w/target",
            "packages": [{
                "name": "aic-cache", "id": "path+file:///w/crates/aic-cache#0.1.0",
                "manifest_path": "/w/crates/aic-cache/Cargo.toml", "rust_version": "1.95",
                "features": { "default": [], "redis": ["dep:redis"] },
                "dependencies": [{ "name": "redis", "optional": true, "kind": null }],
                "targets": [{ "name": "aic_cache", "kind": ["lib"] }],
            }],
        });

        let workspace = Workspace::from_json(&json);

        let cache = workspace.package("aic-cache").unwrap();
        assert!(cache.is_library() && cache.has("lib") && !cache.has("bench"));
        assert_eq!(cache.features[1].enables, ["dep:redis"]);
        assert!(cache.dependencies[0].optional);
        assert_eq!(cache.rust_version.as_deref(), Some("1.95"));
    }

    #[test]
    fn unknown_package_is_answered_with_the_nearest_one() {
        let workspace = Workspace {
            packages: vec![Package { name: "aic-cache".to_owned(), ..Package::default() }],
            target: PathBuf::new(),
        };

        let error = workspace.package("aic-cashe").unwrap_err();

        assert!(error.to_string().contains("did you mean `aic-cache`?"), "{error}");
    }
}
