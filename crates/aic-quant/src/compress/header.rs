use std::io::{self, Read, Write};

/// First bytes of the header.
const MAGIC: &[u8; 8] = b"AICPACK1";
/// Bytes before the stretches: magic, size, hash.
const FIXED: usize = 8 + 8 + 32;
/// Bytes of one stretch.
const STRETCH: usize = 8 + 8 + 1;
/// The most stretches a header has: gzip has room for 65535 bytes, 4 of them its own.
pub(super) const STRETCH_LIMIT: usize = 3800;
/// The kind of zstd's skippable frames that ours is.
const SKIPPABLE: u32 = 0x184D_2A5A;
/// Marks our part of gzip's extra field.
const SUBFIELD: &[u8; 2] = b"Ai";

/// Bytes of a file that are numbers of `width` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) width: u8,
}

/// What a packed file says of the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) size: u64,
    pub(super) hash: [u8; 32],
    pub(super) stretches: Vec<Stretch>,
}

impl Header {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.hash);
        for stretch in &self.stretches {
            bytes.extend(stretch.offset.to_le_bytes());
            bytes.extend(stretch.length.to_le_bytes());
            bytes.push(stretch.width);
        }
        bytes
    }

    /// Reads a header; otherwise what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>().filter(|_| bytes.starts_with(MAGIC))
        else {
            return Err(
                "there is no header of a packed file; other archives are for their own tools".to_owned()
            );
        };
        let (stretches, left) = rest.as_chunks::<STRETCH>();
        if !left.is_empty() || stretches.len() > STRETCH_LIMIT {
            return Err(format!(
                "the header has {} bytes, which is no whole number of stretches",
                bytes.len()
            ));
        }
        let header = Self {
            size: number(&fixed[8..]),
            hash: *fixed.last_chunk().expect("a header ends with 32 bytes of hash"),
            stretches: stretches.iter().map(stretch).collect(),
        };
        header.check()?;
        Ok(header)
    }

    /// That stretches are whole numbers inside the file and follow one another.
    fn check(&self) -> Result<(), String> {
        let mut end = 0;
        for Stretch { offset, length, width } in &self.stretches {
            let whole = matches!(width, 2 | 4 | 8) && length.is_multiple_of(u64::from(*width));
            let next = offset.checked_add(*length).filter(|next| *next <= self.size && *offset >= end);
            end = next.filter(|_| whole).ok_or_else(|| {
                format!(
                    "{length} bytes from {offset} on cannot be numbers of {width} bytes after byte {end} of {}",
                    self.size
                )
            })?;
        }
        Ok(())
    }

    /// Writes the header as a frame that `zstd` skips.
    pub(super) fn write_frame(&self, mut out: impl Write) -> io::Result<()> {
        let bytes = self.to_bytes();
        out.write_all(&SKIPPABLE.to_le_bytes())?;
        out.write_all(&(bytes.len() as u32).to_le_bytes())?;
        out.write_all(&bytes)
    }

    /// The header as gzip's extra field: a subfield of two letters, a length, the content.
    pub(super) fn to_extra(&self) -> Vec<u8> {
        let bytes = self.to_bytes();
        let length = u16::try_from(bytes.len()).expect("the stretches are few enough for gzip");
        [SUBFIELD.as_slice(), &length.to_le_bytes(), &bytes].concat()
    }
}

/// The bytes of a header in a skippable frame whose magic has been read; `None` if there is none.
pub(super) fn read_frame(magic: u32, mut reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if magic != SKIPPABLE || length > FIXED + STRETCH * STRETCH_LIMIT {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// The bytes of a header in gzip's extra field, if it is the first subfield.
pub(super) fn of_extra(extra: &[u8]) -> Option<&[u8]> {
    let rest = extra.strip_prefix(SUBFIELD)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(..usize::from(u16::from_le_bytes(*length)))
}

fn stretch(bytes: &[u8; STRETCH]) -> Stretch {
    Stretch { offset: number(bytes), length: number(&bytes[8..]), width: bytes[16] }
}

/// The number in the first 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("the caller has at least 8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(stretches: &[(u64, u64, u8)]) -> Result<Header, String> {
        let stretches = stretches.iter().map(|(offset, length, width)| Stretch {
            offset: *offset,
            length: *length,
            width: *width,
        });
        let header = Header { size: 100, hash: [7; 32], stretches: stretches.collect() };
        let parsed = Header::parse(&header.to_bytes())?;
        assert_eq!(parsed, header);
        Ok(parsed)
    }

    #[test]
    fn stretches_are_whole_numbers_in_order_inside_the_file() {
        assert!(parse(&[(0, 8, 2), (8, 8, 4), (92, 8, 8)]).is_ok());
        for wrong in [&[(0, 8, 2), (6, 8, 2)][..], &[(0, 7, 2)], &[(96, 8, 2)], &[(0, 9, 3)], &[(0, 8, 0)]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn header_survives_a_frame_and_an_extra_field() {
        let header = parse(&[(0, 8, 2)]).unwrap();
        let mut frame = Vec::new();
        header.write_frame(&mut frame).unwrap();
        let magic = u32::from_le_bytes(*frame.first_chunk().unwrap());

        assert_eq!(read_frame(magic, &frame[4..]).unwrap().unwrap(), header.to_bytes());
        assert_eq!(read_frame(magic + 1, &frame[4..]).unwrap(), None);
        assert_eq!(of_extra(&header.to_extra()).unwrap(), header.to_bytes());
    }
}
