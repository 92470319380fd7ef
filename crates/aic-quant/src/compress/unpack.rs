use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::header::{self, Header};
use super::planes;
use super::stretches::{self, CHUNK, Piece};
use crate::replacement::Replacement;
use crate::{Error, Result};

/// The most that zstd may look back, as a power of two: 8 MiB, enough for level 19.
const WINDOW_LOG_MAX: u32 = 23;

/// Writes the original of the packed file `input` to `output`, which is replaced once the original is complete and has the
/// hash it should have. Returns its size in bytes.
///
/// About 16 MiB of memory are used, whatever the input says, and no more is written than the size it states. `on_progress` is
/// told the share done, from 0 to 1.
///
/// # Errors
/// [`Error::Malformed`] if the input is not a packed file, is damaged or gives other bytes than were packed; [`Error::Io`] from
/// the file system.
pub fn unpack(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    on_progress: impl FnMut(f64),
) -> Result<u64> {
    let input = input.as_ref();
    let file = File::open(input).map_err(Error::io("open", input))?;
    let mut reader = BufReader::new(file);
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(|error| broken(input, &error))?;
    if magic.starts_with(&[0x1f, 0x8b]) {
        let decoder = GzDecoder::new(magic.as_slice().chain(reader));
        let extra = decoder.header().and_then(|header| header.extra()).and_then(header::of_extra);
        let header = parse(input, extra.map(<[u8]>::to_vec))?;
        return write(input, output.as_ref(), decoder, &header, on_progress);
    }
    let frame = header::read_frame(u32::from_le_bytes(magic), &mut reader);
    let header = parse(input, frame.map_err(|error| broken(input, &error))?)?;
    let decoder = zstd::Decoder::with_buffer(reader).and_then(|mut decoder| {
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        Ok(decoder)
    });
    write(input, output.as_ref(), decoder.map_err(|error| broken(input, &error))?, &header, on_progress)
}

fn parse(input: &Path, bytes: Option<Vec<u8>>) -> Result<Header> {
    Header::parse(&bytes.unwrap_or_default()).map_err(|problem| malformed(input, problem))
}

fn write(
    input: &Path,
    output: &Path,
    mut decoder: impl Read,
    header: &Header,
    mut on_progress: impl FnMut(f64),
) -> Result<u64> {
    let mut replacement = Replacement::create(output)?;
    let (mut chunk, mut joined) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    for Piece { length, width } in stretches::pieces(header.size, &header.stretches) {
        let mut bytes = &mut chunk[..length];
        decoder.read_exact(bytes).map_err(|error| broken(input, &error))?;
        if width > 1 {
            planes::join(bytes, width, &mut joined[..length]);
            bytes = &mut joined[..length];
        }
        hasher.update(bytes);
        replacement.write(bytes)?;
        position += length as u64;
        on_progress(position as f64 / header.size as f64);
    }
    // Reading on to the end lets the compressor check its own sums.
    if decoder.read(&mut [0]).map_err(|error| broken(input, &error))? > 0 {
        return Err(malformed(input, format!("there is more than the {} bytes stated", header.size)));
    }
    if hasher.finalize() != header.hash {
        return Err(malformed(input, "the hash of what was unpacked is not the one stated".to_owned()));
    }
    replacement.commit()?;
    Ok(header.size)
}

/// The compressors report damage as errors of reading; those of the operating system have its number.
fn broken(input: &Path, error: &std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(number) => Error::io("read", input)(std::io::Error::from_raw_os_error(number)),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            malformed(input, "the file ends before its content does".to_owned())
        }
        None => malformed(input, error.to_string()),
    }
}

fn malformed(input: &Path, problem: String) -> Error {
    Error::Malformed { format: "packed", file: input.display().to_string(), offset: 0, problem }
}
