//! Replacing a model while it is in use, and trying one out on a share of the requests.
mod sequence;
mod trial;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

pub use trial::{Arm, Limits, Sample, Trial, Verdict};

/// Something in use that can be replaced at any time, a model for example.
///
/// Who asks gets a [`Lease`] on what is current then, without waiting for anybody, and keeps it to the end of the request. A
/// replacement is for those who come later; the old one is dropped with the last lease on it.
///
/// A candidate can be tried out first: [`try_out`](Self::try_out) gives it a share of the leases, the outcomes of both are
/// compared, and it is taken or taken back as the [`Trial`] finds. The old one stays until then.
///
/// ```
/// use std::time::Duration;
///
/// use aic_quant::live::{Limits, Live, Sample, Verdict};
///
/// let model = Live::new("q8_0");
/// model.try_out("q4_k", 0.5, Limits::default())?;
/// for request in 0..4000 {
///     let lease = model.lease(request);
///     // … answer with `*lease`, then tell how it went:
///     lease.done(Sample { failed: false, latency: Duration::from_millis(20), quality: None });
/// }
/// assert_eq!(model.verdict(), Some(Verdict::Accept));
/// assert_eq!(*model.lease(0), "q4_k");
/// # Ok::<(), aic_quant::Error>(())
/// ```
///
/// Cloning gives another handle on the same.
pub struct Live<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: ArcSwap<State<T>>,
    /// What the last trial found. Held while the state is changed, never while somebody asks for a lease.
    changing: Mutex<Option<Verdict>>,
}

/// What is current, and what is tried out beside it.
struct State<T> {
    current: Arc<T>,
    generation: u64,
    candidate: Option<Candidate<T>>,
}

struct Candidate<T> {
    value: Arc<T>,
    /// The share of leases it gets, in 2⁻³² of all.
    share: u64,
    trial: Arc<Mutex<Trial>>,
}

impl<T> Live<T> {
    /// `value` as the first generation.
    pub fn new(value: T) -> Self {
        let state = State { current: Arc::new(value), generation: 0, candidate: None };
        Self { shared: Arc::new(Shared { state: ArcSwap::from_pointee(state), changing: Mutex::new(None) }) }
    }

    /// What is current, for one request; never waits.
    ///
    /// During a trial `request` decides by its hash which of the two it is: the same number always gets the same, so
    /// that a conversation may stay with one by using its own number for all its requests.
    pub fn lease(&self, request: u64) -> Lease<T> {
        let state = self.shared.state.load();
        let candidate = state.candidate.as_ref().filter(|candidate| spread(request) < candidate.share);
        let value = candidate.map_or_else(|| state.current.clone(), |candidate| candidate.value.clone());
        let arm = if candidate.is_some() { Arm::Candidate } else { Arm::Current };
        Lease { shared: self.shared.clone(), value, arm, generation: state.generation }
    }

    /// What is current now; during a trial what was current before it.
    pub fn current(&self) -> Arc<T> {
        self.shared.state.load().current.clone()
    }

    /// Makes `value` current for all who come from now on, and ends a trial. Returns what was current.
    pub fn replace(&self, value: T) -> Arc<T> {
        let _changing = self.shared.changing();
        self.shared.set(Arc::new(value), None)
    }

    /// Gives `candidate` this `share` of the leases, above 0 and below 1, until the trial has found whether it keeps to
    /// `limits`. A trial that is under way ends without a verdict.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if a number is out of its range.
    pub fn try_out(&self, candidate: T, share: f64, limits: Limits) -> crate::Result<()> {
        if !(share > 0.0 && share < 1.0) {
            let (option, value) = ("share", share.to_string());
            return Err(crate::Error::Option { option, value, expected: "above 0 and below 1" });
        }
        let trial = Arc::new(Mutex::new(Trial::new(limits)?));
        let mut verdict = self.shared.changing();
        *verdict = None;
        let candidate = Candidate { value: Arc::new(candidate), share: (share * WHOLE as f64) as u64, trial };
        let current = self.shared.state.load().current.clone();
        self.shared.set(current, Some(candidate));
        Ok(())
    }

    /// Ends a trial without a verdict: the candidate gets no more leases.
    pub fn stop_trial(&self) {
        let _changing = self.shared.changing();
        let current = self.shared.state.load().current.clone();
        self.shared.set(current, None);
    }

    /// What the last trial found; `None` while it is under way, and if there was none.
    pub fn verdict(&self) -> Option<Verdict> {
        self.shared.changing().clone()
    }

    /// How many times what is current, or tried out, has changed.
    pub fn generation(&self) -> u64 {
        self.shared.state.load().generation
    }

    /// What the trial that is under way has seen so far.
    pub fn trial(&self) -> Option<Trial> {
        let state = self.shared.state.load();
        let candidate = state.candidate.as_ref()?;
        Some(candidate.trial.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl<T> Shared<T> {
    fn set(&self, current: Arc<T>, candidate: Option<Candidate<T>>) -> Arc<T> {
        let generation = self.state.load().generation + 1;
        self.state.swap(Arc::new(State { current, generation, candidate })).current.clone()
    }

    /// Counts an outcome, and ends the trial if that decides it. Outcomes of earlier generations do not count.
    fn count(&self, arm: Arm, generation: u64, sample: &Sample) {
        let state = self.state.load_full();
        let Some(candidate) = state.candidate.as_ref().filter(|_| state.generation == generation) else {
            return;
        };
        let found = candidate.trial.lock().unwrap_or_else(PoisonError::into_inner).add(arm, sample);
        let Some(found) = found else { return };
        let mut verdict = self.changing();
        if self.state.load().generation != generation {
            return;
        }
        let current = if found == Verdict::Accept { &candidate.value } else { &state.current };
        self.set(current.clone(), None);
        tracing::info!(?found, "trial of a model has ended");
        *verdict = Some(found);
    }

    fn changing(&self) -> MutexGuard<'_, Option<Verdict>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.load();
        f.debug_struct("Live")
            .field("generation", &state.generation)
            .field("trial", &state.candidate.is_some())
            .finish_non_exhaustive()
    }
}

/// One request's hold on what was current when it came.
pub struct Lease<T> {
    shared: Arc<Shared<T>>,
    value: Arc<T>,
    arm: Arm,
    generation: u64,
}

impl<T> Lease<T> {
    /// Which of the two it is.
    pub fn arm(&self) -> Arm {
        self.arm
    }

    /// The thing itself, to be kept beyond the lease.
    pub fn value(&self) -> Arc<T> {
        self.value.clone()
    }

    /// Tells how the request went. A lease that is dropped without counts for nothing.
    pub fn done(self, sample: Sample) {
        self.shared.count(self.arm, self.generation, &sample);
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("arm", &self.arm)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// All shares together.
const WHOLE: u64 = 1 << 32;

/// A number below [`WHOLE`] that has nothing to do with the order of requests (SplitMix64's finaliser,
/// [Steele et al. 2014](https://doi.org/10.1145/2714064.2660195)).
fn spread(request: u64) -> u64 {
    let mixed = request.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 32
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn well(latency: u64) -> Sample {
        Sample { failed: false, latency: Duration::from_millis(latency), quality: None }
    }

    /// Tells when it is dropped.
    struct Told<'a>(&'a AtomicUsize);

    impl Drop for Told<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn old_one_lives_until_its_last_lease_ends() {
        let dropped = AtomicUsize::new(0);
        let live = Live::new(Told(&dropped));
        let early = live.lease(1);

        drop(live.replace(Told(&dropped)));
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        drop(early);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert_eq!(live.generation(), 1);
    }

    #[test]
    fn candidate_gets_its_share_and_the_same_requests_each_time() {
        let live = Live::new("old");
        live.try_out("new", 0.1, Limits::default()).unwrap();

        let arms: Vec<&str> = (0..20_000).map(|request| *live.lease(request)).collect();

        let share = arms.iter().filter(|arm| **arm == "new").count();
        assert!((1_800..2_200).contains(&share), "{share}");
        assert!((0..20_000).all(|request| *live.lease(request) == arms[request as usize]));
    }

    #[test]
    fn failing_candidate_is_taken_back_and_the_old_one_was_there_all_the_time() {
        let dropped = AtomicUsize::new(0);
        let live = Live::new(None);
        live.try_out(Some(Told(&dropped)), 0.3, Limits::default()).unwrap();

        let mut requests = 0;
        while live.verdict().is_none() {
            let lease = live.lease(requests);
            let failed = lease.arm() == Arm::Candidate;
            lease.done(Sample { failed, ..well(10) });
            requests += 1;
        }

        assert!(matches!(live.verdict(), Some(Verdict::Reject { .. })), "{:?}", live.verdict());
        assert!(requests < 1000, "{requests}");
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!((0..100).all(|request| live.lease(request).is_none()));
    }

    #[test]
    fn leases_are_had_while_generations_change() {
        let live = Live::new(0_u64);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let now = *live.lease(0);
                    assert!(now >= last);
                    last = now;
                }
                last
            });
            (1..=10_000).for_each(|generation| drop(live.replace(generation)));
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        assert_eq!(*live.lease(0), 10_000);
    }

    #[test]
    fn share_out_of_range_is_refused() {
        let live = Live::new(());
        for share in [0.0, 1.0, f64::NAN, -1.0] {
            assert!(matches!(live.try_out((), share, Limits::default()), Err(crate::Error::Option { .. })));
        }
    }
}
