use std::hash::Hasher;

use bytes::Bytes;
use twox_hash::XxHash3_64;

use super::wall::Life;
use crate::Fingerprint;

/// Bytes of a record before those of its entry: checksum, birth, put, end, eight each.
const HEADER_BYTES: usize = 32;

/// redb's page, and what of it holds records.
const PAGE_BYTES: u64 = 4096;
const PAGE_ROOM_BYTES: u64 = 4080;

/// An entry as it is kept in the file: `checksum ‖ birth ‖ put ‖ end ‖ bytes`, numbers in little-endian order.
///
/// redb trusts its pages once it is open, so each record has a checksum of its own, which also covers its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Number of the write that made it: another record under the same key has another one.
    pub(super) birth: u64,
    pub(super) life: Life,
    pub(super) bytes: Bytes,
}

impl Record {
    pub(super) fn encode(key: &Fingerprint, birth: u64, life: Life, bytes: &[u8]) -> Vec<u8> {
        let mut record = Vec::with_capacity(HEADER_BYTES + bytes.len());
        for number in [0, birth, life.put_ms, life.ends_ms] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        record.extend_from_slice(bytes);
        let sum = checksum(key, &record[8..]);
        record[..8].copy_from_slice(&sum.to_le_bytes());
        record
    }

    /// Reads the record of `key`; `None` if it is not what was written.
    pub(super) fn decode(key: &Fingerprint, record: &Bytes) -> Option<Self> {
        let (sum, rest) = record.split_first_chunk()?;
        let life = Life { put_ms: number(record, 2)?, ends_ms: number(record, 3)? };
        let intact = u64::from_le_bytes(*sum) == checksum(key, rest);
        intact.then(|| Self { birth: birth(record), life, bytes: record.slice(HEADER_BYTES..) })
    }
}

/// The birth of an encoded record, which may be damaged.
pub(super) fn birth(record: &[u8]) -> u64 {
    number(record, 1).unwrap_or(0)
}

fn number(record: &[u8], place: usize) -> Option<u64> {
    record.get(place * 8..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn checksum(key: &Fingerprint, rest: &[u8]) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(key.as_bytes());
    hasher.write(rest);
    hasher.finish()
}

/// What an encoded record takes in the file, in bytes, with its key and its place in the order. Measured:
/// small records fill seven tenths of their pages, a record larger than half a page has pages of its own, a
/// power of two of them.
pub(super) fn weight(record_bytes: usize) -> u64 {
    const KEY_BYTES: u64 = 32 + 8;
    const ORDER_BYTES: u64 = 150;
    let bytes = (record_bytes as u64).saturating_add(KEY_BYTES);
    let taken = match PAGE_ROOM_BYTES / bytes {
        0 => {
            bytes.saturating_add(PAGE_BYTES - PAGE_ROOM_BYTES).checked_next_power_of_two().unwrap_or(u64::MAX)
        }
        1 => PAGE_BYTES,
        records => PAGE_BYTES * 10 / (7 * records),
    };
    taken.saturating_add(ORDER_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const LIFE: Life = Life { put_ms: 5, ends_ms: 9 };

    proptest! {
        #[test]
        fn record_reads_back_as_it_was_written(birth: u64, put_ms: u64, ends_ms: u64, bytes: Vec<u8>) {
            let life = Life { put_ms, ends_ms };
            let written = Record::encode(&KEY, birth, life, &bytes).into();

            prop_assert_eq!(Record::decode(&KEY, &written), Some(Record { birth, life, bytes: bytes.into() }));
        }

        #[test]
        fn any_flipped_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
            let mut written = Record::encode(&KEY, 3, LIFE, b"an answer");
            let at = at.index(written.len());
            written[at] ^= 1 << bit;

            prop_assert_eq!(Record::decode(&KEY, &written.into()), None);
        }

        #[test]
        fn foreign_bytes_never_panic(foreign: Vec<u8>) {
            prop_assert_eq!(Record::decode(&KEY, &foreign.into()), None);
        }

        #[test]
        fn weight_covers_the_bytes_and_is_never_more_than_a_few_times_as_much(bytes in 0usize..1 << 24) {
            let weight = weight(bytes);

            prop_assert!(weight > bytes as u64);
            prop_assert!(weight < 3 * bytes as u64 + PAGE_BYTES);
        }
    }

    #[test]
    fn record_under_another_key_is_refused() {
        let written = Record::encode(&KEY, 3, LIFE, b"an answer").into();

        assert_eq!(Record::decode(&Fingerprint::from_bytes([8; 32]), &written), None);
    }
}
