//! The files of a model's folder, as `optimum` exports them.
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tokenizers::Tokenizer;

use super::{Session, SessionOptions};
use crate::{BoxError, Error, Result};

/// More than any configuration file has.
const JSON_LIMIT: u64 = 1 << 28;

/// A folder with models, configuration and tokenizer.
pub(super) struct Folder<'a> {
    path: &'a Path,
}

impl<'a> Folder<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        fs::read_dir(path).map_err(Error::io("open", path))?;
        Ok(Self { path })
    }

    /// The model `name`, in the folder or in its folder `onnx`; `None` if it is in neither.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        [self.path.join(name), self.path.join("onnx").join(name)].into_iter().find(|path| path.is_file())
    }

    pub(super) fn session(&self, name: &str, options: &SessionOptions) -> Result<Session> {
        options.open(self.find(name).unwrap_or_else(|| self.path.join(name)))
    }

    /// The folder is no model because it lacks `what`.
    pub(super) fn lacks(&self, what: &'static str, advice: &'static str) -> Error {
        Error::NotAModel { path: self.path.to_owned(), what, advice }
    }

    /// The settings in the file `name`; the defaults if there is none.
    pub(super) fn settings<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        if !path.exists() {
            return Ok(T::default());
        }
        let bytes = read(&path)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            format: "JSON",
            file: path.display().to_string(),
            offset: 0,
            problem: error.to_string(),
        })
    }

    pub(super) fn tokenizer(&self) -> Result<Tokenizer> {
        let bytes = read(&self.path.join("tokenizer.json"))?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(failed("read tokenizer.json"))?;
        // How long texts may be and what fills up a batch is not for the file to say.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(failed("read tokenizer.json"))?;
        Ok(tokenizer)
    }
}

/// A failure of the tokenizer, as a closure for `map_err`.
pub(super) fn failed(action: &'static str) -> impl FnOnce(BoxError) -> Error {
    move |source| Error::Tokenizer { action, source }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_err(Error::io("open", path))?.len();
    if size > JSON_LIMIT {
        let problem = format!("the file has {size} bytes, more than the {JSON_LIMIT} it may have");
        let file = path.display().to_string();
        return Err(Error::Malformed { format: "JSON", file, offset: JSON_LIMIT, problem });
    }
    fs::read(path).map_err(Error::io("read", path))
}
