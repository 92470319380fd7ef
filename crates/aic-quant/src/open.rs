use std::fs;
use std::io::Read;
use std::path::Path;

use crate::gguf::{Split, is_shard};
use crate::{Error, HuggingFace, Result, TensorSource, gguf};

/// What files that people take for models start with, what they are, and what to do.
const IMPOSTORS: &[(&[u8], &str, &str)] = &[
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint", "convert it to GGUF or safetensors"),
    (b"\x80\x02", "a Python pickle", "convert it to GGUF or safetensors"),
    (b"\x80\x04", "a Python pickle", "convert it to GGUF or safetensors"),
    (b"lmgg", "a model of a format before GGUF", "convert the original again"),
    (b"fmgg", "a model of a format before GGUF", "convert the original again"),
    (b"tjgg", "a model of a format before GGUF", "convert the original again"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file behind it with `git lfs pull`"),
    (b"<", "a web page", "download the file itself"),
    (b"{", "JSON", "open the folder it is in"),
];

/// Opens a model: a GGUF file, all shards of a split one by the path of any of them, or a Hugging Face folder.
///
/// ```no_run
/// use aic_quant::TensorSource;
///
/// let model = aic_quant::open("model-00001-of-00003.gguf")?;
/// println!("{} tensors", model.tensors().len());
/// # Ok::<(), aic_quant::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotAModel`] for what is neither, with what it seems to be and what to do; otherwise what
/// [`gguf::File::open`], [`Split::open`] and [`HuggingFace::open`] fail with.
pub fn open(path: impl AsRef<Path>) -> Result<Box<dyn TensorSource>> {
    let path = path.as_ref();
    match Kind::of(path)? {
        Kind::Folder => {
            check_folder(path)?;
            Ok(Box::new(HuggingFace::open(path)?))
        }
        Kind::Safetensors => Err(Error::NotAModel {
            path: path.to_owned(),
            what: "one safetensors file",
            advice: "open the folder it is in",
        }),
        Kind::Gguf => {
            let file = gguf::File::open(path)?;
            if is_shard(file.metadata())? { Ok(Box::new(Split::open(path)?)) } else { Ok(Box::new(file)) }
        }
    }
}

/// What a path leads to.
pub(crate) enum Kind {
    Folder,
    Safetensors,
    /// Or nothing known, of which the reader will say what is wrong with it.
    Gguf,
}

impl Kind {
    /// Refuses what starts like something else that people take for a model.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let start = start(path)?;
        if is_safetensors(&start) {
            return Ok(Self::Safetensors);
        }
        match IMPOSTORS.iter().find(|(magic, ..)| start.trim_ascii_start().starts_with(magic)) {
            Some(&(_, what, advice)) => Err(Error::NotAModel { path: path.to_owned(), what, advice }),
            None => Ok(Self::Gguf),
        }
    }
}

/// Refuses a folder without `config.json`.
fn check_folder(path: &Path) -> Result<()> {
    if path.join("config.json").exists() {
        return Ok(());
    }
    let is_gguf = |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "gguf");
    let files = fs::read_dir(path).map_err(Error::io("read", path))?;
    let advice = match files.flatten().any(is_gguf) {
        true => "open one of its .gguf files",
        false => "open a GGUF file, or a folder with config.json, model.safetensors and tokenizer.json",
    };
    Err(Error::NotAModel { path: path.to_owned(), what: "a folder without config.json", advice })
}

/// The first bytes of a file.
fn start(path: &Path) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(Error::io("read", path))?;
    Ok(start)
}

/// Whether a file starts with a length below 2^32 and JSON.
fn is_safetensors(start: &[u8]) -> bool {
    start.get(4..9) == Some(b"\0\0\0\0{")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        match open(&path).map(|_| ()) {
            Err(error @ Error::NotAModel { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_model_is_called_what_it_is() {
        for (name, bytes, expected) in [
            ("m.gguf", &b"\n<!DOCTYPE html><html>"[..], "is a web page"),
            ("m.gguf.zst", b"\x28\xb5\x2f\xfd rest", "unpack it first"),
            ("m.gguf.gz", b"\x1f\x8b\x08 rest", "unpack it first"),
            ("pytorch_model.bin", b"PK\x03\x04 rest", "PyTorch"),
            ("old.bin", b"\x80\x02}q\0", "pickle"),
            ("ggml.bin", b"tjgg\x03\0\0\0", "before GGUF"),
            ("m.gguf", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            ("config.json", b" {}", "folder"),
            ("model.safetensors", b"\x0a\0\0\0\0\0\0\0{}", "one safetensors file"),
        ] {
            let error = refused(name, bytes);
            assert!(error.contains(expected) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn folder_of_gguf_files_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || open(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(refused().contains("config.json, model.safetensors"));

        fs::write(folder.path().join("m.gguf"), "").unwrap();

        assert!(refused().contains("one of its .gguf files"));
    }

    #[test]
    fn anything_else_is_a_bad_gguf_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise");
        fs::write(&path, [7; 100]).unwrap();
        assert!(matches!(open(&path).map(|_| ()), Err(Error::Malformed { format: "GGUF", .. })));
        assert!(matches!(
            open(folder.path().join("none")).map(|_| ()),
            Err(Error::Io { action: "open", .. })
        ));
    }
}
