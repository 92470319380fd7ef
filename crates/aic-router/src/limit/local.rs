//! Buckets in this process: governor does the arithmetic, a ledger of ours keeps its time stamps.
//!
//! governor cannot take from several buckets or none; a ledger that gives a time stamp back can.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use super::{Denied, Draw};
use crate::Clock;

/// The number of accounts above which those that are full again are looked for and dropped.
const SWEEP_ABOVE: usize = 1_024;

/// How long a full account is kept at least, for the moments between two readings of the clock.
const GRACE: Duration = Duration::from_secs(1);

/// One meter for each bucket, in the buckets' order.
#[derive(Debug)]
pub(super) struct Local {
    meters: Mutex<Vec<Meter>>,
}

impl Local {
    pub(super) fn new(buckets: impl IntoIterator<Item = NonZeroU32>, clock: &Arc<dyn Clock>) -> Self {
        let meters = buckets.into_iter().map(|per_minute| Meter::new(per_minute, clock.clone()));
        Self { meters: Mutex::new(meters.collect()) }
    }

    /// Takes all or nothing, or says how long until the fullest bucket has room.
    pub(super) fn take(&self, draws: &[Draw<'_>]) -> Result<(), Denied> {
        let mut meters = self.meters.lock();
        let before: Vec<_> =
            draws.iter().map(|draw| meters[draw.limit.index].ledger.get(draw.limit.account)).collect();
        let waits = draws.iter().filter_map(|draw| Some((meters[draw.limit.index].draw(draw).err()?, draw)));
        let Some((wait, draw)) = waits.max_by_key(|(wait, _)| *wait) else {
            draws.iter().for_each(|draw| meters[draw.limit.index].sweep());
            return Ok(());
        };
        for (draw, before) in draws.iter().zip(before) {
            meters[draw.limit.index].ledger.set(draw.limit.account, before);
        }
        Err(Denied::for_now(&draw.limit, wait))
    }

    /// Counts what went out by another's leave, as far as there is room.
    #[cfg(feature = "redis")]
    pub(super) fn count(&self, draws: &[Draw<'_>]) {
        let mut meters = self.meters.lock();
        for draw in draws {
            // A full bucket is as full as it gets; whether it went out was not for this one to say.
            let _ = meters[draw.limit.index].draw(draw);
            meters[draw.limit.index].sweep();
        }
    }
}

struct Meter {
    limiter: RateLimiter<String, Ledger, RouterClock, NoOpMiddleware<Instant>>,
    ledger: Ledger,
    clock: RouterClock,
    started: Instant,
    sweep_above: usize,
}

impl Meter {
    fn new(per_minute: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let (ledger, clock) = (Ledger::default(), RouterClock(clock));
        let started = clock.now();
        let limiter = RateLimiter::new(Quota::per_minute(per_minute), ledger.clone(), clock.clone());
        Self { limiter, ledger, clock, started, sweep_above: SWEEP_ABOVE }
    }

    /// Takes one draw, or says how long until it would fit.
    fn draw(&self, draw: &Draw<'_>) -> Result<(), Duration> {
        let checked = self.limiter.check_key_n(&draw.limit.account.to_owned(), draw.amount);
        let denied = checked.expect("a draw is at most what the bucket holds");
        denied.map_err(|denied| denied.wait_time_from(self.clock.now()))
    }

    /// Drops full accounts, which are as good as none, whenever their number has doubled.
    fn sweep(&mut self) {
        if self.ledger.len() < self.sweep_above {
            return;
        }
        let elapsed = self.clock.now().saturating_duration_since(self.started);
        self.ledger.retain(|full_at| full_at + GRACE > elapsed);
        self.sweep_above = (2 * self.ledger.len()).max(SWEEP_ABOVE);
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("accounts", &self.ledger.len()).finish_non_exhaustive()
    }
}

/// The time at which each account is full again, counted from the limiter's start. Clones share it.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<HashMap<String, Nanos>>>);

impl Ledger {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn get(&self, account: &str) -> Option<Nanos> {
        self.0.lock().get(account).copied()
    }

    fn set(&self, account: &str, full_at: Option<Nanos>) {
        let mut accounts = self.0.lock();
        match full_at {
            Some(full_at) => accounts.insert(account.to_owned(), full_at),
            None => accounts.remove(account),
        };
    }

    fn retain(&self, keep: impl Fn(Duration) -> bool) {
        let mut accounts = self.0.lock();
        accounts.retain(|_, full_at| keep((*full_at).into()));
        accounts.shrink_to(SWEEP_ABOVE);
    }
}

impl StateStore for Ledger {
    type Key = String;

    fn measure_and_replace<T, F, E>(&self, account: &String, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut accounts = self.0.lock();
        let (outcome, full_at) = measure(accounts.get(account).copied())?;
        accounts.insert(account.clone(), full_at);
        Ok(outcome)
    }
}

/// The router's clock, as governor wants it.
#[derive(Clone)]
struct RouterClock(Arc<dyn Clock>);

impl GovernorClock for RouterClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::super::{Bucket, Unit};
    use super::*;
    use crate::Scope;
    use crate::scope::Applicable;

    #[derive(Debug)]
    struct Hand(Mutex<Instant>);

    impl Hand {
        fn new() -> Arc<Self> {
            Arc::new(Self(Mutex::new(Instant::now())))
        }

        fn forward(&self, by: Duration) {
            *self.0.lock() += by;
        }
    }

    impl Clock for Hand {
        fn now(&self) -> Instant {
            *self.0.lock()
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }

    fn bucket(per_minute: u32) -> Bucket {
        Bucket { unit: Unit::Tokens, per_minute: NonZeroU32::new(per_minute).unwrap() }
    }

    fn draw<'a>(index: usize, bucket: &'a Bucket, account: &'a str, amount: u32) -> Draw<'a> {
        let limit = Applicable { index, scope: &Scope::All, rule: bucket, account };
        Draw { limit, amount: NonZeroU32::new(amount).unwrap() }
    }

    fn local(buckets: &[&Bucket], hand: &Arc<Hand>) -> Local {
        let clock: Arc<dyn Clock> = hand.clone();
        Local::new(buckets.iter().map(|bucket| bucket.per_minute), &clock)
    }

    #[test]
    fn accounts_that_are_full_again_are_forgotten() {
        let (bucket, hand) = (bucket(60), Hand::new());
        let local = local(&[&bucket], &hand);

        for tenant in 0..20 * SWEEP_ABOVE {
            local.take(&[draw(0, &bucket, &tenant.to_string(), 1)]).unwrap();
            hand.forward(Duration::from_millis(10));
        }

        // An account is full after one second here, and kept for another: 200 of them.
        assert!(local.meters.lock()[0].ledger.len() <= SWEEP_ABOVE);
    }

    #[cfg(feature = "redis")]
    #[test]
    fn what_went_out_by_anothers_leave_is_gone_here_too() {
        let (bucket, hand) = (bucket(10), Hand::new());
        let local = local(&[&bucket], &hand);

        local.count(&[draw(0, &bucket, "", 7)]);

        local.take(&[draw(0, &bucket, "", 4)]).unwrap_err();
        local.take(&[draw(0, &bucket, "", 3)]).unwrap();
    }

    proptest! {
        /// Between any two calls that were let through, both counted, no more goes out than a minute's worth
        /// and the time's share; and a denied call fits once it has waited as told.
        #[test]
        fn never_more_than_the_limit_and_a_burst(
            limits in (1u32..200, 1u32..200),
            calls in proptest::collection::vec((0u64..20_000, 1u32..200, 1u32..200), 1..120),
        ) {
            let (buckets, hand) = ([bucket(limits.0), bucket(limits.1)], Hand::new());
            let local = local(&[&buckets[0], &buckets[1]], &hand);
            let mut sent: Vec<(Instant, [u32; 2])> = Vec::new();
            for (pause_ms, one, two) in calls {
                hand.forward(Duration::from_millis(pause_ms));
                let amounts = [one.min(limits.0), two.min(limits.1)];
                let draws = [draw(0, &buckets[0], "", amounts[0]), draw(1, &buckets[1], "", amounts[1])];
                match local.take(&draws) {
                    Ok(()) => sent.push((hand.now(), amounts)),
                    Err(denied) => {
                        hand.forward(denied.wait.unwrap());
                        prop_assert_eq!(local.take(&draws), Ok(()));
                        sent.push((hand.now(), amounts));
                    }
                }
            }
            for (which, limit) in [limits.0, limits.1].into_iter().enumerate() {
                for first in 0..sent.len() {
                    let mut total = 0;
                    for (at, amounts) in &sent[first..] {
                        total += amounts[which];
                        let minutes = (*at - sent[first].0).as_secs_f64() / 60.0;
                        // governor rounds a cell's time down to the nanosecond.
                        let most = f64::from(limit) * (1.0 + minutes * (1.0 + 1e-6));
                        prop_assert!(f64::from(total) <= most + 1e-6, "{} of {} in {} min", total, limit, minutes);
                    }
                }
            }
        }
    }
}
