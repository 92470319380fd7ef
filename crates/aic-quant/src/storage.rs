use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::gguf::Bytes;
use crate::{Error, Result};

/// The bytes of a model file, on disk or in memory, read from any position.
pub(crate) enum Storage {
    Disk { path: PathBuf, file: File, size: u64 },
    Memory(Bytes),
}

impl Storage {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Self::Disk { path: path.to_owned(), file, size })
    }

    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }

    /// What errors call the file.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Disk { path, .. } => path.display().to_string(),
            Self::Memory(_) => "<memory>".to_owned(),
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::Disk { size, .. } => *size,
            Self::Memory(bytes) => bytes.as_ref().len() as u64,
        }
    }

    /// Reads `length` bytes from `start` on; a range beyond the end is an error before anything is allocated.
    /// Nothing can be read from anywhere.
    pub(crate) fn read(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let end = start.checked_add(length).filter(|end| *end <= self.size_bytes());
        let length = usize::try_from(length).ok().filter(|_| end.is_some());
        let length =
            length.ok_or_else(|| ErrorKind::UnexpectedEof.into()).map_err(Error::io("read", self.label()))?;
        let mut bytes = vec![0; length];
        self.read_into(start, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` with the bytes from `start` on. Threads may read at the same time.
    pub(crate) fn read_into(&self, start: u64, out: &mut [u8]) -> Result<()> {
        self.reader_at(start).read_exact(out).map_err(Error::io("read", self.label()))
    }

    /// Reads from the start on.
    pub(crate) fn reader(&self) -> impl Read + '_ {
        self.reader_at(0)
    }

    fn reader_at(&self, position: u64) -> Reader<'_> {
        Reader { storage: self, position }
    }
}

/// A place in a file.
struct Reader<'a> {
    storage: &'a Storage,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.storage {
            Storage::Disk { file, .. } => read_at(file, self.position, buffer)?,
            Storage::Memory(bytes) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX);
                bytes.as_ref().get(start..).unwrap_or_default().read(buffer)?
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// Reads without moving the file's own position, so that threads do not wait for one another.
#[cfg(unix)]
fn read_at(file: &File, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}
