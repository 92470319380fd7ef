use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::arrivals::Arrivals;
use crate::attempt::{Sample, attempt};
use crate::error::{Error, Result};
use crate::recorder::Recorder;
use crate::report::{Load, Report};
use crate::slo::Slo;
use crate::target::Target;

/// Faster than this, tokio's timer of one millisecond sends bunches.
const MAX_RATE: f64 = 100_000.0;

/// An open loop: requests at a rate, whether or not earlier ones have ended.
///
/// Requests follow an absolute schedule and latency counts from it, as in wrk2 and MLPerf LoadGen: a target that stops
/// for a second is charged for all requests of that second. tokio's timer wakes up to 1 ms late; this shows as
/// dispatch delay.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct OpenLoop {
    rate: f64,
    arrivals: Arrivals,
    duration: Duration,
    warm_up: Duration,
    max_in_flight: usize,
    timeout: Duration,
    slo: Option<Slo>,
    seed: u64,
}

impl OpenLoop {
    /// A loop of `rate` requests a second, on average.
    pub fn new(rate: f64) -> Self {
        Self {
            rate,
            arrivals: Arrivals::Poisson,
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            max_in_flight: 1000,
            timeout: Duration::from_secs(60),
            slo: None,
            seed: 0,
        }
    }

    /// Sets how the requests follow each other.
    ///
    /// Defaults to [`Arrivals::Poisson`].
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Sets how long requests are due after the warm-up; those under way then are waited for.
    ///
    /// Defaults to 10 s.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Leaves out of the report what is due within this time.
    ///
    /// Defaults to zero.
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Sets how many requests may be under way; one that is due beyond it is dropped, and counted as such.
    ///
    /// Defaults to 1000.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Gives up a request after this time and counts it as the failure `timeout`.
    ///
    /// Defaults to 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what a good request keeps, for goodput.
    ///
    /// Defaults to nothing, and no goodput.
    pub fn slo(mut self, slo: Slo) -> Self {
        self.slo = Some(slo);
        self
    }

    /// Sets the seed of random arrivals: the same seed gives the same schedule.
    ///
    /// Defaults to 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Puts the load on a target and reports. A panic of the target counts as the failure `panic`.
    ///
    /// # Errors
    /// [`Error::Rate`] if the rate is not above 0 and at most 100 000 a second; [`Error::NothingToMeasure`] if a setting
    /// is zero.
    ///
    /// # Cancel safety
    /// Dropping the future ends all requests under way; what was counted is lost.
    pub async fn run(&self, target: impl Target) -> Result<Report> {
        self.check()?;
        let mut books = Books::open(self);
        self.send_all(Arc::new(target), &mut books).await;
        books.wait_for_all().await;
        let elapsed = books.warm_for(Instant::now()).unwrap_or_default().max(self.duration);
        let load = Load::Open { rate: self.rate, arrivals: self.arrivals };
        Ok(books.recorder.finish(load, elapsed))
    }

    fn check(&self) -> Result<()> {
        if !(self.rate > 0.0 && self.rate <= MAX_RATE) {
            return Err(Error::Rate { rate: self.rate, max: MAX_RATE });
        }
        if self.duration.is_zero() {
            return Err(Error::NothingToMeasure { what: "duration" });
        }
        if self.max_in_flight == 0 {
            return Err(Error::NothingToMeasure { what: "max_in_flight" });
        }
        Ok(())
    }

    async fn send_all<T: Target>(&self, target: Arc<T>, books: &mut Books) {
        let whole = self.warm_up.saturating_add(self.duration);
        let begin = books.begin;
        let due = self.arrivals.schedule(self.rate, self.seed).take_while(|at| *at < whole);
        let due = due.map_while(|at| begin.checked_add(at));
        for (request, intended) in (0_u64..).zip(due) {
            sleep_until(intended).await;
            books.collect();
            if books.under_way.len() >= self.max_in_flight {
                books.drop_due(intended);
                continue;
            }
            let (target, timeout) = (target.clone(), self.timeout);
            books.under_way.spawn(async move { attempt(&*target, request, intended, timeout).await });
        }
    }
}

/// The requests under way and those that have ended.
struct Books {
    recorder: Recorder,
    begin: Instant,
    warm_up: Duration,
    under_way: JoinSet<Sample>,
}

impl Books {
    fn open(settings: &OpenLoop) -> Self {
        Self {
            recorder: Recorder::new(settings.slo),
            begin: Instant::now(),
            warm_up: settings.warm_up,
            under_way: JoinSet::new(),
        }
    }

    /// The time since the end of the warm-up; `None` before.
    fn warm_for(&self, now: Instant) -> Option<Duration> {
        (now - self.begin).checked_sub(self.warm_up)
    }

    fn collect(&mut self) {
        while let Some(ended) = self.under_way.try_join_next() {
            self.enter(ended.ok());
        }
    }

    async fn wait_for_all(&mut self) {
        while let Some(ended) = self.under_way.join_next().await {
            self.enter(ended.ok());
        }
    }

    /// A panic was made a failure inside the task, and nobody aborts one: a task that ended has a sample.
    fn enter(&mut self, sample: Option<Sample>) {
        if let Some(sample) = sample.filter(|sample| self.warm_for(sample.intended).is_some()) {
            self.recorder.record(&sample);
        }
    }

    fn drop_due(&mut self, intended: Instant) {
        if self.warm_for(intended).is_some() {
            self.recorder.record_drop();
        }
    }
}
