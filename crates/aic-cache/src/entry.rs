//! An answer as stored bytes: `version (1) ‖ checksum (8) ‖ form (1) ‖ body`.
//!
//! The body is `key (32) ‖ stored (8) ‖ fresh until (8) ‖ era (8) ‖ epoch (8) ‖ number of tags (8) ‖ tags (8 each) ‖
//! kind (1) ‖ value`, numbers with their highest byte first, the value in MessagePack; packed with zstd, its length (4)
//! comes before it.
//!
//! What comes back from a store is not trusted: the checksum (XXH3 of all after it) finds damage, the key in the header
//! finds an answer that ended up under another key. The checksum is no protection against somebody who may write to
//! the store.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use twox_hash::XxHash3_64;

use crate::{
    Error, Fingerprint, Refusal, Result, Tag,
    clock::{unix_ms, whole_ms},
};

const VERSION: u8 = 3;
const HEAD_BYTES: usize = 1 + 8 + 1;
/// Form of a body that is written as it is.
const PLAIN: u8 = 0;
/// Form of a body that is packed with zstd.
const PACKED: u8 = 1;
/// Kind of a value that is an answer.
const ANSWER: u8 = 0;
/// Kind of a value that is a refusal.
const REFUSAL: u8 = 1;
/// The longest body that is unpacked. A larger one is never packed.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// zstd's quickest level: answers are read far more often than written, and wait for neither.
const LEVEL: i32 = 1;

/// What there is to know about a kept answer beside the answer. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    key: Fingerprint,
    stored_ms: u64,
    fresh_until_ms: u64,
    pub(crate) stamp: Stamp,
    pub(crate) tags: Vec<Tag>,
}

/// When an answer's computation began, as counted by [`Epochs`](crate::Epochs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) era: u64,
    pub(crate) epoch: u64,
}

/// What is kept: an answer, or the certainty that there will be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<V> {
    Value(V),
    Refused(Refusal),
}

/// A header with what it describes.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry<V> {
    pub(crate) header: Header,
    pub(crate) outcome: Outcome<V>,
}

impl Header {
    pub(crate) fn new(
        key: &Fingerprint,
        now: SystemTime,
        ttl: Duration,
        stamp: Stamp,
        tags: Vec<Tag>,
    ) -> Self {
        let stored_ms = unix_ms(now);
        Self { key: *key, stored_ms, fresh_until_ms: stored_ms.saturating_add(whole_ms(ttl)), stamp, tags }
    }

    /// How long ago the answer was stored; zero if a clock ran backwards or another machine's is ahead.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(unix_ms(now).saturating_sub(self.stored_ms))
    }

    /// For how long the answer has been past its time to live; `None` while it is fresh.
    pub(crate) fn past(&self, now: SystemTime) -> Option<Duration> {
        unix_ms(now).checked_sub(self.fresh_until_ms).map(Duration::from_millis)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { key, stored_ms, fresh_until_ms, stamp: Stamp { era, epoch }, tags } = self;
        let numbers = [*stored_ms, *fresh_until_ms, *era, *epoch, tags.len() as u64];
        bytes.extend_from_slice(key.as_bytes());
        numbers.into_iter().chain(tags.iter().map(|tag| tag.to_bits())).for_each(|number| {
            bytes.extend_from_slice(&number.to_be_bytes());
        });
    }

    /// Reads the header of the answer to `key`, and gives back what follows it.
    fn read<'a>(key: &Fingerprint, body: &'a [u8]) -> Result<(Self, &'a [u8]), Damage> {
        let (found, mut rest) = body.split_first_chunk().ok_or(Damage::Cut)?;
        if found != key.as_bytes() {
            return Err(Damage::Key);
        }
        let [stored_ms, fresh_until_ms] = [number(&mut rest)?, number(&mut rest)?];
        let stamp = Stamp { era: number(&mut rest)?, epoch: number(&mut rest)? };
        let length = usize::try_from(number(&mut rest)?).ok().and_then(|tags| tags.checked_mul(8));
        let (tags, rest) = length.and_then(|length| rest.split_at_checked(length)).ok_or(Damage::Cut)?;
        let tags = tags.as_chunks().0.iter().map(|tag| Tag::from_bits(u64::from_be_bytes(*tag))).collect();
        Ok((Self { key: *key, stored_ms, fresh_until_ms, stamp, tags }, rest))
    }
}

/// Takes the number off that `bytes` begin with.
fn number(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Damage::Cut)?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*number))
}

/// Writes an answer down; its body is packed if that makes it smaller and it is longer than `pack_above` bytes.
pub(crate) fn encode<V: Serialize>(
    header: &Header,
    outcome: &Outcome<&V>,
    pack_above: usize,
) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&[0; HEAD_BYTES]);
    header.write(&mut bytes);
    write(&mut bytes, outcome).map_err(|source| Error::Encode { key: header.key, source: source.into() })?;
    if let Some(packed) = pack(&bytes[HEAD_BYTES..], pack_above) {
        bytes.truncate(HEAD_BYTES);
        bytes.extend_from_slice(&packed);
        bytes[HEAD_BYTES - 1] = PACKED;
    }
    bytes[0] = VERSION;
    let sum = checksum(&bytes[9..]);
    bytes[1..9].copy_from_slice(&sum);
    Ok(bytes.into())
}

/// The value is written with its fields' names, so that one of another shape is recognised.
fn write<V: Serialize>(bytes: &mut Vec<u8>, outcome: &Outcome<&V>) -> Result<(), rmp_serde::encode::Error> {
    match outcome {
        Outcome::Value(value) => {
            bytes.push(ANSWER);
            rmp_serde::encode::write_named(bytes, value)
        }
        Outcome::Refused(refusal) => {
            bytes.push(REFUSAL);
            rmp_serde::encode::write_named(bytes, refusal)
        }
    }
}

fn pack(body: &[u8], above: usize) -> Option<Vec<u8>> {
    if body.len() <= above || body.len() > UNPACKED_BYTES_MAX {
        return None;
    }
    let length = u32::try_from(body.len()).ok()?;
    let packed = zstd::bulk::compress(body, LEVEL).ok()?;
    (packed.len() + 4 < body.len()).then(|| [&length.to_be_bytes()[..], &packed].concat())
}

/// Reads the answer to `key`, or says what is wrong with it.
pub(crate) fn decode<V: DeserializeOwned>(key: &Fingerprint, bytes: &[u8]) -> Result<Entry<V>, Damage> {
    let (&version, rest) = bytes.split_first().ok_or(Damage::Cut)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let (sum, rest) = rest.split_first_chunk().ok_or(Damage::Cut)?;
    if *sum != checksum(rest) {
        return Err(Damage::Checksum);
    }
    match rest.split_first().ok_or(Damage::Cut)? {
        (&PLAIN, body) => read(key, body),
        (&PACKED, packed) => read(key, &unpack(packed)?),
        (&form, _) => Err(Damage::Form(form)),
    }
}

fn read<V: DeserializeOwned>(key: &Fingerprint, body: &[u8]) -> Result<Entry<V>, Damage> {
    let (header, rest) = Header::read(key, body)?;
    let outcome = match rest.split_first().ok_or(Damage::Cut)? {
        (&ANSWER, value) => Outcome::Value(rmp_serde::from_slice(value)?),
        (&REFUSAL, value) => Outcome::Refused(rmp_serde::from_slice(value)?),
        (&kind, _) => return Err(Damage::Kind(kind)),
    };
    Ok(Entry { header, outcome })
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Damage> {
    let (length, packed) = packed.split_first_chunk().ok_or(Damage::Cut)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > UNPACKED_BYTES_MAX {
        return Err(Damage::Length(length));
    }
    zstd::bulk::decompress(packed, length).map_err(Damage::Packing)
}

/// Why stored bytes are no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("cut short")]
    Cut,
    #[error("written in version {0}, this is version {VERSION}")]
    Version(u8),
    #[error("checksum does not match")]
    Checksum,
    #[error("of the unknown form {0}")]
    Form(u8),
    #[error("of the unknown kind {0}")]
    Kind(u8),
    #[error("{0} bytes long when unpacked, more than {UNPACKED_BYTES_MAX}")]
    Length(usize),
    #[error("cannot be unpacked: {0}")]
    Packing(std::io::Error),
    #[error("belongs to another key")]
    Key,
    #[error("not of the expected type")]
    Shape,
}

/// What the reader objected to is left out: it may quote the answer.
impl From<rmp_serde::decode::Error> for Damage {
    fn from(_: rmp_serde::decode::Error) -> Self {
        Damage::Shape
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    XxHash3_64::oneshot(bytes).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const MINUTE: Duration = Duration::from_secs(60);
    const STAMP: Stamp = Stamp { era: u64::MAX, epoch: 3 };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn header(stored: u64, ttl: Duration) -> Header {
        Header::new(&KEY, at(stored), ttl, STAMP, vec![Tag::new("model", "m")])
    }

    fn bytes(answer: &str, pack_above: usize) -> Vec<u8> {
        encode(&header(1000, MINUTE), &Outcome::Value(&answer), pack_above).unwrap().to_vec()
    }

    fn with_checksum(rest: &[u8]) -> Vec<u8> {
        [&[VERSION][..], &checksum(rest), rest].concat()
    }

    proptest! {
        #[test]
        fn entry_reads_back_as_it_was_written(value in ".*", stored in 0u64..1 << 40, ttl: u32, above in 0usize..200) {
            let header = header(stored, Duration::from_secs(ttl.into()));
            let bytes = encode(&header, &Outcome::Value(&value), above).unwrap();

            prop_assert_eq!(decode(&KEY, &bytes).unwrap(), Entry { header, outcome: Outcome::Value(value) });
        }

        #[test]
        fn any_flipped_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8, above in prop::sample::select(vec![0, 9999])) {
            let mut bytes = bytes(&"an answer ".repeat(50), above);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;

            prop_assert!(decode::<String>(&KEY, &bytes).is_err());
        }

        #[test]
        fn any_cut_is_noticed(length: prop::sample::Index, above in prop::sample::select(vec![0, 9999])) {
            let bytes = bytes(&"an answer ".repeat(50), above);

            prop_assert!(decode::<String>(&KEY, &bytes[..length.index(bytes.len())]).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..200), form in 0u8..3) {
            let rest = [&[form][..], &rest].concat();

            prop_assert!(decode::<Vec<Option<String>>>(&KEY, &with_checksum(&rest)).is_err());
        }

        #[test]
        fn foreign_bytes_under_the_right_key_never_panic(
            tags in prop_oneof![0u64..4, any::<u64>()],
            rest in prop::collection::vec(0u8..4, 0..50),
        ) {
            let body = [&[PLAIN][..], KEY.as_bytes(), &[0; 32], &tags.to_be_bytes(), &rest].concat();

            match decode::<u8>(&KEY, &with_checksum(&body)) {
                Ok(entry) => prop_assert_eq!(entry.header.tags.len() as u64, tags),
                Err(damage) => prop_assert!(matches!(damage, Damage::Cut | Damage::Kind(_) | Damage::Shape)),
            }
        }
    }

    #[test]
    fn long_answer_is_packed_and_a_short_one_is_not() {
        let answer = "All work and no play makes Jack a dull boy. ".repeat(100);

        assert!(bytes(&answer, 4096).len() < 300);
        assert!(bytes(&answer, 5000).len() > 4400);
    }

    #[test]
    fn packed_bytes_that_claim_to_be_huge_are_refused_before_they_are_unpacked() {
        let rest = [&[PACKED][..], &u32::MAX.to_be_bytes(), &[0; 9]].concat();

        assert!(matches!(decode::<String>(&KEY, &with_checksum(&rest)), Err(Damage::Length(_))));
    }

    #[test]
    fn entry_under_another_key_is_refused() {
        let other = Fingerprint::from_bytes([8; 32]);

        assert!(matches!(decode::<String>(&other, &bytes("x", 9999)), Err(Damage::Key)));
    }

    #[test]
    fn entry_of_another_type_or_version_is_refused() {
        let mut later = bytes("x", 9999);
        later[0] = VERSION + 1;

        assert!(matches!(decode::<u64>(&KEY, &bytes("x", 9999)), Err(Damage::Shape)));
        assert!(matches!(decode::<String>(&KEY, &later), Err(Damage::Version(_))));
    }

    #[test]
    fn refusal_is_kept_in_place_of_an_answer() {
        let refusal = Refusal::new("context_length", "9000 tokens are more than 8192");
        let kept: Outcome<&String> = Outcome::Refused(refusal.clone());

        let entry = decode::<String>(&KEY, &encode(&header(0, MINUTE), &kept, 9999).unwrap()).unwrap();

        assert_eq!(entry.outcome, Outcome::Refused(refusal));
    }

    #[test]
    fn answer_is_fresh_until_its_end_and_past_it_by_the_time_since() {
        let header = header(1000, MINUTE);

        assert_eq!(header.past(at(1059)), None);
        assert_eq!(header.past(at(1060)), Some(Duration::ZERO));
        assert_eq!(header.past(at(1065)), Some(Duration::from_secs(5)));
    }

    #[test]
    fn clock_that_ran_backwards_gives_age_zero() {
        assert_eq!(header(1000, MINUTE).age(at(900)), Duration::ZERO);
    }
}
