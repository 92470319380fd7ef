//! A reference on disk, all little-endian: a header of [`HEADER`] bytes, one record for each position, and the BLAKE3 hash
//! of everything before.
//!
//! Header: magic, version `u32`, hashes of model, text and tokens, tokens of a window, vocabulary, likeliest tokens kept, tokens drawn
//! (`u32` each), windows `u32`, reserved `u32` = 0; then for each window the number of its positions, `u32`. Record: ln p of
//! the true token and ln mass of the tail (`f32`), then each token (`u32`) with its ln p (`f32`).
use super::reference::{Fingerprint, Reference};
use super::sketch::{Entry, SAMPLE, Sketch};

const MAGIC: [u8; 8] = *b"aic-gate";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 3 * 32 + 6 * 4;
/// Where the header's numbers start.
const NUMBERS: usize = HEADER - 6 * 4;
const HASH: usize = 32;
/// Fewest tokens kept; bounds what a record takes in memory by what it takes in the file.
pub(super) const FEWEST_KEPT: usize = 8;
const ENTRY: usize = 8;
/// A probability may pass 1 by rounding.
const HIGHEST_LN_P: f32 = 1e-3;

/// What is wrong, and where.
type Problem = (usize, String);

pub(super) fn encode(reference: &Reference) -> Vec<u8> {
    let first = reference.windows.iter().flatten().next();
    let kept = first.map_or(0, |sketch| sketch.top.len());
    let drawn = if kept < reference.vocabulary { SAMPLE } else { 0 };
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(reference.model.0);
    out.extend(reference.text_hash);
    out.extend(reference.token_hash);
    for number in [reference.window, reference.vocabulary, kept, drawn, reference.windows.len(), 0] {
        out.extend((number as u32).to_le_bytes());
    }
    reference.windows.iter().for_each(|window| out.extend((window.len() as u32).to_le_bytes()));
    reference.windows.iter().flatten().for_each(|sketch| put_sketch(&mut out, sketch, drawn));
    let hash = blake3::hash(&out);
    out.extend(hash.as_bytes());
    out
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch, drawn: usize) {
    out.extend(sketch.truth.to_le_bytes());
    out.extend(sketch.tail.to_le_bytes());
    // A tail too thin to draw from leaves its records empty.
    let empty = std::iter::repeat(&Entry { token: 0, ln_p: 0.0 });
    for entry in sketch.top.iter().chain(sketch.sample.iter().chain(empty).take(drawn)) {
        out.extend(entry.token.to_le_bytes());
        out.extend(entry.ln_p.to_le_bytes());
    }
}

/// The reference in `bytes`, every number of which is checked.
pub(super) fn decode(bytes: &[u8]) -> Result<Reference, Problem> {
    let body = bytes.len().checked_sub(HASH).filter(|body| *body >= HEADER);
    let body = body.ok_or_else(|| (0, format!("has {} bytes, fewer than the header", bytes.len())))?;
    let (body, hash) = bytes.split_at(body);
    let header = Header::read(body)?;
    if blake3::hash(body).as_bytes() != hash {
        return Err((body.len(), "the checksum is not that of the content".to_owned()));
    }
    header.windows(body)
}

struct Header {
    reference: Reference,
    kept: usize,
    drawn: usize,
    windows: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes[..8] != MAGIC {
            return Err((0, "does not start with `aic-gate`".to_owned()));
        }
        let number = |at: usize| u32_at(bytes, at) as usize;
        if number(8) != VERSION as usize {
            return Err((8, format!("version {}, expected {VERSION}", number(8))));
        }
        let hash = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes");
        let [window, vocabulary, kept, drawn, windows, reserved] =
            [0, 1, 2, 3, 4, 5].map(|i| number(NUMBERS + 4 * i));
        let reference = Reference {
            model: Fingerprint(hash(12)),
            text_hash: hash(44),
            token_hash: hash(76),
            window,
            vocabulary,
            windows: Vec::new(),
        };
        let sound = window >= 2
            && (FEWEST_KEPT..=vocabulary).contains(&kept)
            && drawn == if kept < vocabulary { SAMPLE } else { 0 }
            && reserved == 0;
        if sound {
            return Ok(Self { reference, kept, drawn, windows });
        }
        Err((NUMBERS, "the header contradicts itself".to_owned()))
    }

    /// The windows in `body`, whose length their counts must add up to.
    fn windows(self, body: &[u8]) -> Result<Reference, Problem> {
        let wrong = || (HEADER, format!("{} windows do not fit {} bytes", self.windows, body.len()));
        let start = self.windows.checked_mul(4).and_then(|counts| counts.checked_add(HEADER));
        let start = start.filter(|start| *start <= body.len()).ok_or_else(wrong)?;
        let record = (self.kept + self.drawn).checked_mul(ENTRY).and_then(|bytes| bytes.checked_add(8));
        let record = record.ok_or_else(wrong)?;
        let counts: Vec<usize> = body[HEADER..start].chunks_exact(4).map(|c| u32_at(c, 0) as usize).collect();
        let positions = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
        let length = positions.and_then(|positions| positions.checked_mul(record));
        if length != Some(body.len() - start) || counts.contains(&0) {
            return Err(wrong());
        }
        let mut at = start;
        let mut windows = Vec::with_capacity(counts.len());
        for count in counts {
            let end = at + count * record;
            let sketch = |(i, bytes)| self.sketch(bytes).map_err(|problem| (at + i * record, problem));
            windows
                .push(body[at..end].chunks_exact(record).enumerate().map(sketch).collect::<Result<_, _>>()?);
            at = end;
        }
        Ok(Reference { windows, ..self.reference })
    }

    fn sketch(&self, record: &[u8]) -> Result<Sketch, String> {
        let (truth, tail) = (f32_at(record, 0), f32_at(record, 4));
        let entry = |bytes: &[u8]| Entry { token: u32_at(bytes, 0), ln_p: f32_at(bytes, 4) };
        let mut top: Vec<Entry> = record[8..].chunks_exact(ENTRY).map(entry).collect();
        let mut sample = top.split_off(self.kept);
        if tail == f32::NEG_INFINITY {
            sample.clear();
        }
        let is_ln_p = |x: f32| x.is_finite() && x <= HIGHEST_LN_P;
        let known = |entry: &Entry| (entry.token as usize) < self.reference.vocabulary && is_ln_p(entry.ln_p);
        if is_ln_p(truth)
            && (is_ln_p(tail) || tail == f32::NEG_INFINITY)
            && top.iter().chain(&sample).all(known)
        {
            return Ok(Sketch { truth, tail, top, sample });
        }
        Err("a token or a probability is out of range".to_owned())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::sketch::Distribution;
    use super::*;

    fn reference(vocabulary: usize, kept: usize) -> Reference {
        let mut random = StdRng::seed_from_u64(1);
        let mut sketch = |position: usize| {
            let logits: Vec<f32> = (0..vocabulary).map(|i| ((i * 7 + position) as f32).sin() * 4.0).collect();
            Sketch::new(&Distribution::new(&logits).unwrap(), 1, kept, &mut random)
        };
        let windows = [3, 3, 2].map(|count| (0..count).map(&mut sketch).collect()).to_vec();
        Reference {
            model: Fingerprint([7; 32]),
            text_hash: [8; 32],
            token_hash: [9; 32],
            window: 6,
            vocabulary,
            windows,
        }
    }

    /// `bytes` with the checksum they should have.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len() - HASH;
        let hash = blake3::hash(&bytes[..body]);
        bytes[body..].copy_from_slice(hash.as_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (vocabulary, kept) in [(40, 8), (40, 40), (9, 64)] {
            let reference = reference(vocabulary, kept);
            assert_eq!(decode(&encode(&reference)).unwrap(), reference);
        }
    }

    #[test]
    fn tail_too_thin_to_draw_from_survives() {
        let logits: Vec<f32> = (0..12).map(|i| if i < 8 { 0.0 } else { -2000.0 }).collect();
        let mut random = StdRng::seed_from_u64(1);
        let sketch = Sketch::new(&Distribution::new(&logits).unwrap(), 0, 8, &mut random);
        let mut reference = reference(12, 8);
        assert!(sketch.sample.is_empty());
        reference.windows = vec![vec![sketch]];
        assert_eq!(decode(&encode(&reference)).unwrap(), reference);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let bytes = encode(&reference(20, 8));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(decode(&flipped).is_err(), "{at}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_though_the_checksum_is_right() {
        let good = encode(&reference(20, 8));
        let record = HEADER + 3 * 4;
        let wrong: [(usize, u32); 15] = [
            (8, 2),
            (NUMBERS, 0),
            (NUMBERS + 4, 3),
            (NUMBERS + 8, 0),
            (NUMBERS + 8, u32::MAX),
            (NUMBERS + 8, 7),
            (NUMBERS + 12, 15),
            (NUMBERS + 16, u32::MAX),
            (NUMBERS + 20, 1),
            (HEADER, 0),
            (HEADER, u32::MAX),
            (record, f32::NAN.to_bits()),
            (record + 4, 0.5_f32.to_bits()),
            (record + 8, 20),
            (record + 12, f32::NEG_INFINITY.to_bits()),
        ];
        for (at, value) in wrong {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(decode(&sealed(bytes)).is_err(), "{value} at {at}");
        }
        assert!(decode(&sealed(good)).is_ok());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..300), flips in prop::collection::vec((0_usize..900, any::<u8>()), 1..6)) {
            let mut bytes = b"aic-gate\x01\0\0\0".to_vec();
            bytes.extend(rest);
            bytes.resize(bytes.len().max(HEADER + HASH), 0);
            let _ = decode(&sealed(bytes));
            let mut bytes = encode(&reference(20, 8));
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let _ = decode(&sealed(bytes));
        }
    }
}
