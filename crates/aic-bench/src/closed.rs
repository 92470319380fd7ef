use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::attempt::attempt;
use crate::error::{Error, Result};
use crate::recorder::Recorder;
use crate::report::{Load, Report};
use crate::slo::Slo;
use crate::target::Target;

/// A closed loop: so many users, each sending its next request when the last one has ended.
///
/// The load falls when the target slows down, so this measures how fast it serves, not how much it can bear: for that
/// there is [`OpenLoop`](crate::OpenLoop).
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ClosedLoop {
    concurrency: usize,
    limit: Limit,
    warm_up: Duration,
    timeout: Duration,
    slo: Option<Slo>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Requests(u64),
    Duration(Duration),
}

impl ClosedLoop {
    /// A loop of `concurrency` users.
    pub fn new(concurrency: usize) -> Self {
        let (limit, timeout) = (Limit::Requests(100), Duration::from_secs(60));
        Self { concurrency, limit, warm_up: Duration::ZERO, timeout, slo: None }
    }

    /// Ends after so many measured requests; replaces [`duration`](Self::duration).
    ///
    /// Defaults to 100.
    pub fn requests(mut self, count: u64) -> Self {
        self.limit = Limit::Requests(count);
        self
    }

    /// Starts no request this long after the warm-up; replaces [`requests`](Self::requests).
    pub fn duration(mut self, duration: Duration) -> Self {
        self.limit = Limit::Duration(duration);
        self
    }

    /// Leaves out of the report what starts within this time.
    ///
    /// Defaults to zero.
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
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

    /// Puts the load on a target and reports. A panic of the target counts as the failure `panic`.
    ///
    /// # Errors
    /// [`Error::NoConcurrency`] or [`Error::NothingToMeasure`] if a setting is zero.
    ///
    /// # Cancel safety
    /// Dropping the future ends all requests under way; what was counted is lost.
    pub async fn run(&self, target: impl Target) -> Result<Report> {
        self.check()?;
        let (target, tickets) = (Arc::new(target), Arc::new(Tickets::new(self, Instant::now())));
        let mut users = JoinSet::new();
        for _ in 0..self.concurrency {
            users.spawn(user(target.clone(), tickets.clone(), self.clone()));
        }
        let recorders = users.join_all().await;
        Ok(self.report(&recorders, tickets.elapsed(Instant::now())))
    }

    fn check(&self) -> Result<()> {
        match self.limit {
            _ if self.concurrency == 0 => Err(Error::NoConcurrency),
            Limit::Requests(0) => Err(Error::NothingToMeasure { what: "requests" }),
            Limit::Duration(Duration::ZERO) => Err(Error::NothingToMeasure { what: "duration" }),
            _ => Ok(()),
        }
    }

    fn report(&self, recorders: &[Recorder], elapsed: Duration) -> Report {
        let mut whole = Recorder::new(self.slo);
        recorders.iter().for_each(|recorder| whole.merge(recorder));
        whole.finish(Load::Closed { concurrency: self.concurrency }, elapsed)
    }
}

async fn user<T: Target>(target: Arc<T>, tickets: Arc<Tickets>, settings: ClosedLoop) -> Recorder {
    let mut recorder = Recorder::new(settings.slo);
    loop {
        let now = Instant::now();
        let Some(ticket) = tickets.draw(now) else { return recorder };
        let sample = attempt(&*target, ticket.request, now, settings.timeout).await;
        if ticket.measured {
            recorder.record(&sample);
        }
        // A target that never waits must not keep the other users from starting.
        tokio::task::yield_now().await;
    }
}

/// Hands out the requests of a run.
#[derive(Debug)]
struct Tickets {
    drawn: AtomicU64,
    measured: AtomicU64,
    begin: Instant,
    warm_up: Duration,
    limit: Limit,
}

#[derive(Debug, PartialEq)]
struct Ticket {
    request: u64,
    measured: bool,
}

impl Tickets {
    fn new(settings: &ClosedLoop, begin: Instant) -> Self {
        let (drawn, measured) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { drawn, measured, begin, warm_up: settings.warm_up, limit: settings.limit }
    }

    /// The next request, or `None` when the run is over.
    fn draw(&self, now: Instant) -> Option<Ticket> {
        let warm_for = (now - self.begin).checked_sub(self.warm_up);
        if warm_for.is_some_and(|warm_for| !self.is_left(warm_for)) {
            return None;
        }
        let request = self.drawn.fetch_add(1, Ordering::Relaxed);
        Some(Ticket { request, measured: warm_for.is_some() })
    }

    fn is_left(&self, warm_for: Duration) -> bool {
        match self.limit {
            Limit::Requests(count) => self.measured.fetch_add(1, Ordering::Relaxed) < count,
            Limit::Duration(duration) => warm_for < duration,
        }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        let set = match self.limit {
            Limit::Requests(_) => Duration::ZERO,
            Limit::Duration(duration) => duration,
        };
        (now - self.begin).saturating_sub(self.warm_up).max(set)
    }
}
