//! Answers kept and found again: fingerprints, stores and single-flight.
//!
//! An answer that took seconds and money to compute is kept under a [`Fingerprint`] of everything it depends
//! on, and found again in microseconds. Nothing here knows what computed it: any type that serializes can be
//! kept, any call can be cached.
//!
//! ```
//! use aic_cache::{Cache, CacheControl, Computed, Fingerprint, MemoryStore, Tenant};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::<String>::builder(MemoryStore::new(64 << 20)).build();
//! let request = json!({"model": "m", "prompt": "Why is the sky blue?", "temperature": 0});
//! let key = Fingerprint::of("chat 1", &Tenant::new("acme"), &request)?;
//!
//! for _ in 0..2 {
//!     let ask = || async { Ok::<_, std::io::Error>(Computed::Store("Rayleigh scattering.".to_owned())) };
//!     let answer = cache.get_or_try_compute(&key, &CacheControl::new(), ask).await?;
//!     println!("{}", answer.into_value());
//! }
//! assert_eq!(cache.stats().hit_ratio(), Some(0.5)); // asked once, answered twice
//! # Ok(()) }
//! ```
//!
//! - [`Fingerprint`] and [`Tenant`]: what an answer depends on, and on whose behalf it is kept.
//! - [`Store`]: the door behind which bytes are kept; [`MemoryStore`], `DiskStore` (feature `disk`),
//!   `RedisStore` (feature `redis`) and [`Tiered`] stand behind it.
//! - [`Outline`] and [`Recent`]: why a request was a miss: the places where it differs from one that was kept.
//! - [`Cache`]: typed answers with freshness, single-flight and statistics. For streams see [`Cache::begin`].
//! - [`warm`]: filling a cache ahead of its use, within a budget.
//! - `semantic` (feature `semantic`): answers to similar questions, within an error bound.
//! - `testing` (feature `testing`): the contract every store keeps, for those who write their own.

mod cache;
mod clock;
mod entry;
mod error;
mod fingerprint;
mod flight;
mod refusal;
#[cfg(feature = "semantic")]
pub mod semantic;
mod stats;
mod store;
mod tag;
mod tee;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod warm;

pub use cache::{
    Answer, Begin, Cache, CacheBuilder, CacheControl, Computed, Explanation, Hit, LeadGuard, Lookup,
    MissReason,
};
pub use clock::{Clock, SystemClock};
pub use error::{BoxError, Error, Result};
pub use fingerprint::{Change, Closest, Difference, Fingerprint, Outline, Recent, Tenant};
pub use refusal::Refusal;
pub use stats::{CacheStats, Latencies, Latency, Misses, NotStored, Saved, SimilarityStats, Worth};
#[cfg(feature = "disk")]
pub use store::{DiskStore, DiskStoreBuilder};
pub use store::{
    EpochLog, Epochs, Fence, Found, Leases, MemoryStore, Put, PutOptions, Shared, Store, TierStats, Tiered,
};
#[cfg(feature = "redis")]
pub use store::{RedisStore, RedisStoreBuilder};
pub use tag::Tag;
pub use tee::Tee;
