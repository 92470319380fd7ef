//! The right to compute an answer, held against other processes for as long as it takes.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::AbortHandle, time::sleep};
use tracing::debug;

use crate::{Fence, Fingerprint, Leases};

/// A lease that is renewed until it is dropped, and then given back.
pub(super) struct HeldLease {
    leases: Arc<dyn Leases>,
    key: Fingerprint,
    fence: Fence,
    renewal: AbortHandle,
    /// Whether the store has taken it back with the answer.
    is_over: bool,
}

impl HeldLease {
    /// Keeps the lease `fence` of `key`, renewing it four times in each `ttl`.
    pub(super) fn keep(leases: Arc<dyn Leases>, key: Fingerprint, fence: Fence, ttl: Duration) -> Self {
        let renewal = tokio::spawn(renew(leases.clone(), key, fence, ttl)).abort_handle();
        Self { leases, key, fence, renewal, is_over: false }
    }

    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    /// The store has been given the answer under this lease, and took the lease back with it.
    pub(super) fn over(mut self) {
        self.is_over = true;
    }
}

async fn renew(leases: Arc<dyn Leases>, key: Fingerprint, fence: Fence, ttl: Duration) {
    loop {
        sleep(ttl / 4).await;
        match leases.renew(&key, fence, ttl).await {
            Ok(true) => {}
            Ok(false) => return debug!("lease lost: the answer will be refused if somebody else has begun"),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "lease not renewed, trying again"),
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.renewal.abort();
        // Outside a runtime nothing can be sent: the lease then ends by itself.
        let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) else { return };
        runtime.spawn(give_back(self.leases.clone(), self.key, self.fence));
    }
}

/// Gives the lease back. While the store is away, it is tried again for a while; after that the lease ends by itself.
async fn give_back(leases: Arc<dyn Leases>, key: Fingerprint, fence: Fence) {
    for _ in 0..GIVE_BACK_TRIES {
        match leases.release(&key, fence).await {
            Ok(()) => return,
            Err(error) => debug!(error = &error as &dyn std::error::Error, "lease not given back yet"),
        }
        sleep(GIVE_BACK_EVERY).await;
    }
}

const GIVE_BACK_EVERY: Duration = Duration::from_millis(100);
const GIVE_BACK_TRIES: usize = 20;

impl fmt::Debug for HeldLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease").field("fence", &self.fence).finish_non_exhaustive()
    }
}
