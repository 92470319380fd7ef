use std::time::Duration;

use tokio::time::sleep;

use super::fresh_key;
use crate::{Fence, Fingerprint, Leases};

/// Checks what every implementation of [`Leases`] promises. Takes about a second of real time, because leases
/// lapse.
///
/// Keys are chosen afresh in each run, and every lease is given back.
///
/// # Panics
/// If a promise is broken or the leases are unavailable.
pub async fn lease_contract(leases: &dyn Leases) {
    let [first, second] = ["first lease", "second lease"].map(fresh_key);
    let fence = lease_is_given_to_one(leases, &first, &second).await;
    let fence = lease_that_is_given_back_is_given_again(leases, &first, fence).await;
    let fence = renewed_lease_outlives_its_time(leases, &first, fence).await;
    let late = lapsed_lease_is_given_again(leases, &first, fence).await;
    late_holder_changes_nothing(leases, &first, late).await;
}

const MINUTE: Duration = Duration::from_secs(60);

async fn acquire(leases: &dyn Leases, key: &Fingerprint, ttl: Duration) -> Option<Fence> {
    leases.acquire(key, ttl).await.expect("leases are available")
}

async fn renew(leases: &dyn Leases, key: &Fingerprint, fence: Fence, ttl: Duration) -> bool {
    leases.renew(key, fence, ttl).await.expect("leases are available")
}

async fn release(leases: &dyn Leases, key: &Fingerprint, fence: Fence) {
    leases.release(key, fence).await.expect("leases are available");
}

async fn lease_is_given_to_one(leases: &dyn Leases, key: &Fingerprint, other: &Fingerprint) -> Fence {
    let fence = acquire(leases, key, MINUTE).await.expect("nobody holds the lease");
    assert_eq!(acquire(leases, key, MINUTE).await, None, "lease was given twice");
    let elsewhere = acquire(leases, other, MINUTE).await.expect("another key's lease is free");
    release(leases, other, elsewhere).await;
    assert_eq!(acquire(leases, key, MINUTE).await, None, "release of another key's lease freed this one");
    fence
}

async fn lease_that_is_given_back_is_given_again(
    leases: &dyn Leases,
    key: &Fingerprint,
    mut fence: Fence,
) -> Fence {
    for _ in 0..10 {
        release(leases, key, fence).await;
        let next = acquire(leases, key, Duration::from_millis(500)).await.expect("lease was given back");
        assert!(next > fence, "{next:?} after {fence:?}");
        fence = next;
        assert!(renew(leases, key, fence, Duration::from_millis(500)).await, "lease is held");
    }
    fence
}

/// `fence` is of a lease of half a second.
async fn renewed_lease_outlives_its_time(leases: &dyn Leases, key: &Fingerprint, fence: Fence) -> Fence {
    assert!(renew(leases, key, fence, MINUTE).await, "lease is held");
    sleep(Duration::from_millis(600)).await;
    assert_eq!(acquire(leases, key, MINUTE).await, None, "renewed lease has lapsed");
    fence
}

async fn lapsed_lease_is_given_again(leases: &dyn Leases, key: &Fingerprint, fence: Fence) -> [Fence; 2] {
    release(leases, key, fence).await;
    let fence = acquire(leases, key, Duration::from_millis(100)).await.expect("lease was given back");
    sleep(Duration::from_millis(200)).await;
    assert!(!renew(leases, key, fence, MINUTE).await, "lapsed lease was renewed");
    let next = acquire(leases, key, MINUTE).await.expect("lease has lapsed");
    assert!(next > fence, "{next:?} after {fence:?}");
    [fence, next]
}

async fn late_holder_changes_nothing(leases: &dyn Leases, key: &Fingerprint, [late, holder]: [Fence; 2]) {
    assert!(!renew(leases, key, late, MINUTE).await, "late holder renewed another's lease");
    release(leases, key, late).await;
    assert_eq!(acquire(leases, key, MINUTE).await, None, "late holder gave another's lease back");
    assert!(renew(leases, key, holder, MINUTE).await, "lease is held");
    release(leases, key, holder).await;
    release(leases, key, holder).await;
    assert!(!renew(leases, key, holder, MINUTE).await, "lease was given back");
}
