//! An answer as stored bytes: `version (1) ‖ checksum (16) ‖ body`, the body in MessagePack.
//!
//! What comes back from a store is not trusted: the checksum finds damage, the key written inside finds an
//! answer that ended up under another key.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Error, Fingerprint, Result,
    clock::{unix_ms, whole_ms},
};

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 16;

/// An answer with what is needed to judge its freshness. Times are milliseconds since 1970.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry<V> {
    key: Fingerprint,
    stored_ms: u64,
    ends_ms: u64,
    pub(crate) value: V,
}

impl<V> Entry<V> {
    pub(crate) fn new(key: &Fingerprint, value: V, now: SystemTime, ttl: Duration) -> Self {
        let stored_ms = unix_ms(now);
        Self { key: *key, stored_ms, ends_ms: stored_ms.saturating_add(whole_ms(ttl)), value }
    }

    /// How long ago it was stored; zero if a clock ran backwards or another machine's is ahead.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(unix_ms(now).saturating_sub(self.stored_ms))
    }

    /// Whether it may still be used at `now`, by its own end and by the caller's limit.
    pub(crate) fn is_fresh(&self, now: SystemTime, max_age: Option<Duration>) -> bool {
        unix_ms(now) < self.ends_ms && max_age.is_none_or(|limit| self.age(now) <= limit)
    }
}

impl<V: Serialize> Entry<V> {
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
        rmp_serde::encode::write_named(&mut bytes, self)
            .map_err(|source| Error::Encode { key: self.key, source: source.into() })?;
        let sum = checksum(&bytes[1 + CHECKSUM_BYTES..]);
        bytes[1..=CHECKSUM_BYTES].copy_from_slice(&sum);
        Ok(bytes.into())
    }
}

impl<V: DeserializeOwned> Entry<V> {
    /// Reads the answer to `key`, or says what is wrong with it.
    pub(crate) fn decode(key: &Fingerprint, bytes: &[u8]) -> Result<Self, Damage> {
        let (version, rest) = bytes.split_first().ok_or(Damage::Cut)?;
        if *version != VERSION {
            return Err(Damage::Version(*version));
        }
        let (sum, body) = rest.split_at_checked(CHECKSUM_BYTES).ok_or(Damage::Cut)?;
        if sum != checksum(body) {
            return Err(Damage::Checksum);
        }
        let entry: Self = rmp_serde::from_slice(body)?;
        if entry.key != *key {
            return Err(Damage::Key);
        }
        Ok(entry)
    }
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
    #[error("belongs to another key")]
    Key,
    #[error("not of the expected type: {0}")]
    Shape(#[from] rmp_serde::decode::Error),
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(body).as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn bytes() -> Vec<u8> {
        Entry::new(&KEY, "an answer".to_owned(), at(1000), MINUTE).encode().unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn entry_reads_back_as_it_was_written(value in ".*", stored in 0u64..1 << 40, ttl in any::<u32>()) {
            let entry = Entry::new(&KEY, value, at(stored), Duration::from_secs(ttl.into()));

            prop_assert_eq!(Entry::decode(&KEY, &entry.encode().unwrap()).unwrap(), entry);
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;

            prop_assert!(Entry::<String>::decode(&KEY, &bytes).is_err());
        }

        #[test]
        fn any_cut_is_noticed(length in 0usize..80) {
            let bytes = bytes();

            prop_assert!(Entry::<String>::decode(&KEY, &bytes[..length.min(bytes.len() - 1)]).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION];
            bytes.extend_from_slice(&checksum(&body));
            bytes.extend_from_slice(&body);

            prop_assert!(Entry::<Vec<Option<String>>>::decode(&KEY, &bytes).is_err());
        }
    }

    #[test]
    fn entry_under_another_key_is_refused() {
        let other = Fingerprint::from_bytes([8; 32]);

        assert!(matches!(Entry::<String>::decode(&other, &bytes()), Err(Damage::Key)));
    }

    #[test]
    fn entry_of_another_type_or_version_is_refused() {
        let mut later = bytes();
        later[0] = 2;

        assert!(matches!(Entry::<u64>::decode(&KEY, &bytes()), Err(Damage::Shape(_))));
        assert!(matches!(Entry::<String>::decode(&KEY, &later), Err(Damage::Version(2))));
    }

    #[test]
    fn entry_is_fresh_until_its_end_and_within_the_callers_limit() {
        let entry = Entry::new(&KEY, (), at(1000), MINUTE);

        assert!(entry.is_fresh(at(1059), None));
        assert!(!entry.is_fresh(at(1060), None));
        assert!(entry.is_fresh(at(1010), Some(Duration::from_secs(10))));
        assert!(!entry.is_fresh(at(1011), Some(Duration::from_secs(10))));
    }

    #[test]
    fn clock_that_ran_backwards_gives_age_zero() {
        assert_eq!(Entry::new(&KEY, (), at(1000), MINUTE).age(at(900)), Duration::ZERO);
    }
}
