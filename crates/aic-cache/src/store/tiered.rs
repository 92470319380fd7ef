use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tracing::debug;

use super::{Found, Put, PutOptions, Shared, Store, TierStats};
use crate::{Fingerprint, Result};

/// How long a copy stays in the near store, unless said otherwise.
const NEAR_TTL: Duration = Duration::from_secs(300);

/// A near store in front of a far one, such as memory in front of Redis.
///
/// What the far store finds is copied into the near one, as is every put. A copy lives at most five minutes
/// there, so that a removal in another process is seen after that time at the latest; [`near_ttl`](Self::near_ttl)
/// changes that. What was cleared by its tags is cleared in both at once.
///
/// A far store that is unavailable costs nothing but its entries: what the near store has is found, puts
/// reach the near store. Only a removal then fails, because the far entry may come back.
#[derive(Clone, Debug)]
pub struct Tiered {
    near: Arc<dyn Store>,
    far: Arc<dyn Store>,
    near_ttl: Duration,
}

impl Tiered {
    /// Puts `near` in front of `far`.
    pub fn new(near: impl Store, far: impl Store) -> Self {
        Self { near: Arc::new(near), far: Arc::new(far), near_ttl: NEAR_TTL }
    }

    /// Lets copies live for at most `ttl` in the near store: long where it outlives the process, such as a disk in
    /// front of Redis.
    ///
    /// Defaults to 5 minutes.
    #[must_use]
    pub fn near_ttl(self, ttl: Duration) -> Self {
        Self { near_ttl: ttl, ..self }
    }

    /// Puts a copy into the near store. It is only a copy, so a failure is no one's concern.
    async fn copy(&self, key: &Fingerprint, bytes: Bytes, ttl: Option<Duration>) -> Option<Put> {
        let ttl = ttl.map_or(self.near_ttl, |ttl| ttl.min(self.near_ttl));
        let put = self.near.put(key, bytes, PutOptions::new().ttl(Some(ttl))).await;
        put.inspect_err(|error| debug!(%error, "no copy in the near store")).ok()
    }
}

#[async_trait]
impl Store for Tiered {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        if let Ok(Some(found)) = self.near.get(key).await {
            return Ok(Some(found));
        }
        let found = self.far.get(key).await?;
        if let Some(found) = &found {
            self.copy(key, found.bytes.clone(), found.ttl).await;
        }
        Ok(found)
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        let far = self.far.put(key, bytes.clone(), options).await;
        if let Ok(Put::Superseded) = far {
            return Ok(Put::Superseded);
        }
        let near = self.copy(key, bytes, options.ttl).await;
        match (near, far) {
            (Some(near), Ok(far)) => Ok(if far.is_stored() { far } else { near }),
            (Some(near), Err(error)) if near.is_stored() => {
                debug!(%error, "kept in the near store only");
                Ok(near)
            }
            (_, far) => far,
        }
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        let near = self.near.remove(key).await;
        self.far.remove(key).await.and(near)
    }

    fn shared(&self) -> Shared {
        self.far.shared().or(self.near.shared())
    }

    fn tiers(&self) -> Vec<TierStats> {
        [self.near.tiers(), self.far.tiers()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, testing::BrokenStore};

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);

    fn tiers() -> (Arc<MemoryStore>, Arc<MemoryStore>, Tiered) {
        let (near, far) = (Arc::new(MemoryStore::new(10_000)), Arc::new(MemoryStore::new(100_000)));
        (near.clone(), far.clone(), Tiered::new(near, far))
    }

    #[tokio::test]
    async fn entry_found_far_is_found_near_afterwards_and_ends_no_later() {
        let (near, far, tiered) = tiers();
        let minute = PutOptions::new().ttl(Some(Duration::from_secs(60)));
        far.put(&KEY, Bytes::from_static(b"x"), minute).await.unwrap();

        let found = tiered.get(&KEY).await.unwrap().unwrap();

        let copy = near.get(&KEY).await.unwrap().unwrap();
        assert_eq!(copy.bytes, found.bytes);
        assert!(copy.ttl.unwrap() <= found.ttl.unwrap());
    }

    #[tokio::test]
    async fn near_copy_of_an_endless_entry_ends_after_five_minutes() {
        let (near, far, tiered) = tiers();

        tiered.put(&KEY, Bytes::from_static(b"x"), PutOptions::new()).await.unwrap();

        assert!(near.get(&KEY).await.unwrap().unwrap().ttl.unwrap() <= NEAR_TTL);
        assert_eq!(far.get(&KEY).await.unwrap().unwrap().ttl, None);
    }

    #[tokio::test]
    async fn entry_too_large_for_the_near_store_is_kept_far() {
        let (near, _, tiered) = tiers();

        let put = tiered.put(&KEY, vec![0; 50_000].into(), PutOptions::new()).await.unwrap();

        assert!(put.is_stored());
        assert_eq!(near.get(&KEY).await.unwrap(), None);
        assert!(tiered.get(&KEY).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn broken_far_store_leaves_the_near_one_in_service() {
        let tiered = Tiered::new(MemoryStore::new(10_000), BrokenStore);

        assert!(tiered.get(&KEY).await.unwrap_err().is_retryable());
        assert!(tiered.put(&KEY, Bytes::from_static(b"x"), PutOptions::new()).await.unwrap().is_stored());
        assert!(tiered.get(&KEY).await.unwrap().is_some());
        assert!(tiered.remove(&KEY).await.is_err());
    }

    #[tokio::test]
    async fn broken_near_store_leaves_the_far_one_in_service() {
        let tiered = Tiered::new(BrokenStore, MemoryStore::new(10_000));

        assert!(tiered.put(&KEY, Bytes::from_static(b"x"), PutOptions::new()).await.unwrap().is_stored());
        assert!(tiered.get(&KEY).await.unwrap().is_some());
    }
}
