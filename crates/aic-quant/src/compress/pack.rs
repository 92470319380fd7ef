use std::fs;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::header::Header;
use super::stretches::{self, CHUNK, Piece};
use super::{Advice, Method, PackOptions, Packed, planes};
use crate::replacement::Replacement;
use crate::storage::Storage;
use crate::{Error, Result};

/// Writes the file at `input` packed to `output`, which is replaced once the new file is complete.
///
/// The input is read twice, the first time for its hash; at most 4 MiB of it are in memory, and with high levels of zstd some
/// tens of MiB of the compressor. `on_progress` is told the share done, from 0 to 1.
///
/// # Errors
/// [`Error::Option`] for a level out of range, [`Error::Io`] from the file system, [`Error::Malformed`] if the input changes
/// in between.
pub fn pack(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &PackOptions,
    mut on_progress: impl FnMut(f64),
) -> Result<Packed> {
    let (input, output) = (input.as_ref(), output.as_ref());
    let level = level(options)?;
    let storage = Storage::open(input)?;
    let stretches = if options.separate { stretches::find(input) } else { Vec::new() };
    let size = storage.size_bytes();
    let header = Header { size, hash: hash(&storage)?, stretches };
    // The header was looked up by name; should the name mean another file by now, it may not fit this one.
    Header::parse(&header.to_bytes()).map_err(|problem| changed(&storage, &problem))?;
    let mut replacement = Replacement::create(output)?;
    let sink = Sink(&mut replacement);
    match options.method {
        Method::Zstd => write_zstd(&storage, &header, level, sink, &mut on_progress),
        Method::Gzip => write_gzip(&storage, &header, level, sink, &mut on_progress),
    }
    .map_err(|error| error.downcast().unwrap_or_else(Error::io("write", output)))?;
    replacement.commit()?;
    let after = fs::metadata(output).map_err(Error::io("read", output))?.len();
    let little = after as f64 > size as f64 * 0.95;
    Ok(Packed { before_bytes: size, after_bytes: after, advice: little.then_some(Advice::SavesLittle) })
}

/// The level asked for, or the usual one. Beyond 19 zstd needs more memory to unpack than [`unpack`](super::unpack) allows.
fn level(options: &PackOptions) -> Result<u32> {
    let (usual, highest, expected) = match options.method {
        Method::Zstd => (3, 19, "1 to 19 for zstd"),
        Method::Gzip => (6, 9, "1 to 9 for gzip"),
    };
    let level = options.level.unwrap_or(usual);
    if (1..=highest).contains(&level) {
        return Ok(level);
    }
    Err(Error::Option { option: "level", value: level.to_string(), expected })
}

fn hash(storage: &Storage) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut position = 0;
    for piece in stretches::pieces(storage.size_bytes(), &[]) {
        let bytes = &mut chunk[..piece.length];
        storage.read_into(position, bytes)?;
        hasher.update(bytes);
        position += piece.length as u64;
    }
    Ok(hasher.finalize().into())
}

fn write_zstd(
    storage: &Storage,
    header: &Header,
    level: u32,
    mut sink: impl Write,
    on_progress: impl FnMut(f64),
) -> io::Result<()> {
    header.write_frame(&mut sink)?;
    let mut encoder = zstd::Encoder::new(sink, level as i32)?;
    encoder.set_pledged_src_size(Some(header.size))?;
    encoder.include_contentsize(true)?;
    write_pieces(storage, header, &mut encoder, on_progress)?;
    encoder.finish()?.flush()
}

fn write_gzip(
    storage: &Storage,
    header: &Header,
    level: u32,
    sink: impl Write,
    on_progress: impl FnMut(f64),
) -> io::Result<()> {
    let builder = GzBuilder::new().extra(header.to_extra());
    let mut encoder = builder.write(sink, Compression::new(level));
    write_pieces(storage, header, &mut encoder, on_progress)?;
    encoder.finish()?.flush()
}

/// Writes the original with its stretches separated, and compares its hash, since the file was read before.
fn write_pieces(
    storage: &Storage,
    header: &Header,
    out: &mut impl Write,
    mut on_progress: impl FnMut(f64),
) -> io::Result<()> {
    let (mut chunk, mut separated) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    for Piece { length, width } in stretches::pieces(header.size, &header.stretches) {
        let bytes = &mut chunk[..length];
        storage.read_into(position, bytes).map_err(io::Error::other)?;
        hasher.update(bytes);
        if width > 1 {
            planes::separate(bytes, width, &mut separated[..length]);
            out.write_all(&separated[..length])?;
        } else {
            out.write_all(bytes)?;
        }
        position += length as u64;
        on_progress(position as f64 / header.size as f64);
    }
    if hasher.finalize() != header.hash {
        return Err(io::Error::other(changed(storage, "other bytes than a moment before")));
    }
    Ok(())
}

fn changed(storage: &Storage, problem: &str) -> Error {
    Error::Malformed {
        format: "model",
        file: storage.label(),
        offset: 0,
        problem: format!("the file was changed while it was packed: {problem}"),
    }
}

/// The new file as something to write to; its errors travel inside of those of [`io`].
struct Sink<'a>(&'a mut Replacement);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
