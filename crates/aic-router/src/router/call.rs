use std::ops::Add;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::demand::Demand;
use super::route::Route;
use crate::breaker::Ticket;
use crate::latency::Work;
use crate::{ErrorKind, Event, NanoUsd, ProviderError, Usage};

/// One call on its way: measures it, and books how it ends exactly once, also when it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    router: Arc<Inner>,
    demand: Arc<Demand>,
    route: Arc<Route>,
    ticket: Option<Ticket>,
    work: Work,
    started: Instant,
    first_content: Option<Instant>,
    received_bytes: u64,
}

/// What a call used and cost, where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) usage: Option<Usage>,
    pub(super) cost: Option<NanoUsd>,
}

/// The sum, known where both are.
impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let usage = self.usage.zip(other.usage).map(|(a, b)| a + b);
        Self { usage, cost: self.cost.zip(other.cost).map(|(a, b)| a + b) }
    }
}

impl Call {
    pub(super) async fn begin(
        router: &Arc<Inner>,
        demand: &Arc<Demand>,
        route: &Arc<Route>,
        work: Work,
    ) -> Result<Self, ProviderError> {
        let started = router.clock.now();
        let ticket = route.admit(started)?;
        Ok(Self {
            router: router.clone(),
            demand: demand.clone(),
            route: route.clone(),
            ticket: Some(ticket),
            work,
            started,
            first_content: None,
            received_bytes: 0,
        })
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    fn now(&self) -> Instant {
        self.router.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.now() - self.started
    }

    /// Notes that the first content is there.
    pub(super) fn has_content(&mut self) {
        self.first_content = Some(self.now());
        self.route.first_content(self.elapsed(), self.work);
    }

    /// Notes what has come of the answer, for estimating what a call used that does not come to its end.
    pub(super) fn received(&mut self, event: &Event) {
        self.received_bytes += match event {
            Event::Text(text) => text.len() as u64,
            Event::Thinking(thinking) => thinking.text.len() as u64,
            Event::ToolCallDelta(delta) => delta.arguments.len() as u64,
            _ => 0,
        };
    }

    /// The call was answered whole.
    pub(super) fn succeed(&mut self, usage: Option<Usage>) -> Spent {
        let Some(ticket) = self.ticket.take() else { return Spent::default() };
        let now = self.now();
        self.route.succeeded(&ticket, now);
        if let (Some(first), Some(usage)) = (self.first_content, usage) {
            self.route.body(now - first, usage, self.work);
        }
        Spent { usage, cost: self.route.book(usage) }
    }

    /// The call failed. A timeout is charged to the latency too, or a stuck model would look quick.
    pub(super) fn fail(&mut self, kind: &ErrorKind) -> Spent {
        let Some(ticket) = self.ticket.take() else { return Spent::default() };
        if *kind == ErrorKind::Timeout && self.first_content.is_none() {
            self.route.first_content(self.elapsed(), self.work);
        }
        self.route.failed(&ticket, kind, self.now());
        self.broken()
    }

    /// What a call that did not come to its end used: the question, and a token per four bytes received.
    fn broken(&self) -> Spent {
        let input = self.demand.likely.input;
        let usage = Usage { input, output: self.received_bytes.div_ceil(4), ..Usage::default() };
        Spent { usage: Some(usage), cost: self.route.price().and_then(|price| price.cost(usage)) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.route.cancelled(&ticket, self.now());
        }
    }
}
