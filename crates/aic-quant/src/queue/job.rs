use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Recipe, Result, open, quantize};

/// A model to make, and what of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// The model file it is made of.
    pub source: PathBuf,
    /// Where it goes.
    pub target: PathBuf,
    /// Which type each tensor gets.
    #[serde(serialize_with = "write_recipe", deserialize_with = "read_recipe")]
    pub recipe: Recipe,
    /// The importance matrix to weigh errors with, if any.
    pub importance: Option<PathBuf>,
}

/// The name of a job: a hash of what it is made of and what it makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

/// How urgent a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is nothing else to do.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Before all others; the running job gives way to it.
    High,
}

impl Job {
    /// A job that makes `target` of `source` by `recipe`.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>, recipe: Recipe) -> Self {
        Self { source: source.into(), target: target.into(), recipe, importance: None }
    }

    /// Weighs errors with the importance matrix at `path`. Defaults to all columns alike.
    pub fn importance(mut self, path: impl Into<PathBuf>) -> Self {
        self.importance = Some(path.into());
        self
    }

    /// The job's name.
    pub(super) fn id(&self) -> Result<JobId> {
        let mut hash = blake3::Hasher::new();
        hash.update(&quantize::fingerprint(open(&self.source)?.as_ref())?);
        hash.update(self.recipe.to_string().as_bytes());
        if let Some(importance) = &self.importance {
            hash.update(&std::fs::read(importance).map_err(Error::io("read", importance))?);
        }
        hash.update(place(&self.target).as_os_str().as_encoded_bytes());
        Ok(JobId(hash.finalize().to_hex()[..16].to_owned()))
    }
}

/// The path by its folder's real name, so that two ways to write it are one.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or(folder.clone(), |name| folder.join(name))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn write_recipe<S: Serializer>(recipe: &Recipe, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(recipe)
}

fn read_recipe<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Recipe, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
