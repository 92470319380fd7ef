use std::time::Instant;

use parking_lot::Mutex;

use super::breaker::{Breaker, Change, Shut};

/// Hash slots of a Cluster.
const SLOTS: u16 = 16384;

/// Slots next to each other are mostly served by the same master. So many groups of them tell masters apart
/// well enough, without following the slots about.
const GROUPS: u16 = 16;

/// A breaker for each part of Redis that can fail by itself.
///
/// One server is one part. In a Cluster the slots of the other masters are served while one is down, so there
/// the slots are divided into groups.
pub(super) struct Shards(Vec<Mutex<Breaker>>);

/// A part of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard(usize);

impl Shards {
    pub(super) fn one(breaker: Breaker) -> Self {
        Self(vec![Mutex::new(breaker)])
    }

    pub(super) fn of_cluster(breaker: &Breaker) -> Self {
        Self((0..GROUPS).map(|_| Mutex::new(breaker.clone())).collect())
    }

    /// The part that keeps `name`; the first one for a command without a name.
    pub(super) fn of(&self, name: Option<&[u8]>) -> Shard {
        let slot = if self.0.len() == 1 { 0 } else { name.map_or(0, slot) };
        Shard(usize::from(slot / (SLOTS / GROUPS)))
    }

    pub(super) fn admit(&self, shard: Shard, now: Instant) -> Result<(), Shut> {
        self.0[shard.0].lock().admit(now)
    }

    pub(super) fn record(&self, shard: Shard, success: bool, now: Instant) -> Option<Change> {
        self.0[shard.0].lock().record(success, now)
    }

    /// Whether no part is asked anything.
    pub(super) fn all_shut(&self) -> bool {
        self.0.iter().all(|breaker| breaker.lock().is_shut())
    }
}

/// The slot of a key: the CRC16 of what is between its first braces, or of all of it
/// ([Redis Cluster specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/),
/// "Hash tags").
fn slot(name: &[u8]) -> u16 {
    crc16(hash_tag(name).unwrap_or(name)) % SLOTS
}

fn hash_tag(name: &[u8]) -> Option<&[u8]> {
    let open = name.iter().position(|&byte| byte == b'{')?;
    let rest = &name[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"x{foo}y{bar}"), slot(b"foo"));
        assert_eq!(slot(b"foo{}"), crc16(b"foo{}") % SLOTS);
        assert_eq!(slot(b"foo{bar"), crc16(b"foo{bar") % SLOTS);
    }

    #[test]
    fn keys_of_one_fingerprint_belong_to_one_shard_and_every_slot_to_some() {
        let shards = Shards::of_cluster(&Breaker::new(3, Duration::from_secs(1)));

        for i in 0..1000 {
            let (entry, lease) = (format!("p:{{{i}}}"), format!("p:{{{i}}}:lease"));
            let shard = shards.of(Some(entry.as_bytes()));
            assert_eq!(shard, shards.of(Some(lease.as_bytes())));
            assert!(shard.0 < shards.0.len());
        }
        assert_eq!(Shards::one(Breaker::new(3, Duration::ZERO)).of(Some(b"foo")), Shard(0));
    }

    #[test]
    fn one_part_that_fails_leaves_the_others_in_service() {
        let (shards, now) = (Shards::of_cluster(&Breaker::new(1, Duration::from_secs(1))), Instant::now());

        shards.record(Shard(3), false, now);

        assert!(shards.admit(Shard(3), now).is_err());
        assert_eq!(shards.admit(Shard(4), now), Ok(()));
        assert!(!shards.all_shut());
    }
}
