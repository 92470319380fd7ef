use std::ops::Add;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::demand::Demand;
use super::route::Route;
use crate::breaker::Ticket;
use crate::budget::Reservation;
use crate::latency::Work;
use crate::{Booking, ErrorKind, Event, NanoUsd, ProviderError, Usage};

/// One call on its way: measures it, and books how it ends exactly once, also when it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    router: Arc<Inner>,
    demand: Arc<Demand>,
    route: Arc<Route>,
    ticket: Option<Ticket>,
    /// The money set aside for it, where a spend limit applies.
    reserved: Option<Reservation>,
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
        // A call that its breaker will not let through must not use up the limits.
        route.check(started)?;
        let (provider, tenant) = (route.provider.as_str(), demand.tenant.as_deref());
        router.limits.take(provider, tenant, demand.tokens()).await?;
        let reserved = reserve(router, demand, route)?;
        let ticket = match route.admit(started) {
            Ok(ticket) => ticket,
            Err(error) => {
                settle(reserved, Some(NanoUsd(0)));
                return Err(error);
            }
        };
        Ok(Self {
            router: router.clone(),
            demand: demand.clone(),
            route: route.clone(),
            ticket: Some(ticket),
            reserved,
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
        let cost = self.route.book(usage);
        settle(self.reserved.take(), cost);
        self.book(Spent { usage, cost }, false)
    }

    /// The call failed. A timeout is charged to the latency too, or a stuck model would look quick.
    pub(super) fn fail(&mut self, kind: &ErrorKind) -> Spent {
        let Some(ticket) = self.ticket.take() else { return Spent::default() };
        if *kind == ErrorKind::Timeout && self.first_content.is_none() {
            self.route.first_content(self.elapsed(), self.work);
        }
        self.route.failed(&ticket, kind, self.now());
        if self.first_content.is_none() && !kind.may_be_billed() {
            settle(self.reserved.take(), Some(NanoUsd(0)));
            return self.book(Spent { usage: Some(Usage::default()), cost: Some(NanoUsd(0)) }, false);
        }
        self.broken()
    }

    /// Books a call that did not come to its end: as used, the question and a token per four bytes received;
    /// against spend limits, a token for every byte of both.
    fn broken(&mut self) -> Spent {
        let price = self.route.price();
        let most = price.and_then(|price| self.demand.cost_of(&price, self.received_bytes));
        settle(self.reserved.take(), most);
        let output = self.received_bytes.div_ceil(4);
        let usage = Usage { output, ..self.demand.likely };
        let cost = price.and_then(|price| price.cost(usage));
        self.book(Spent { usage: Some(usage), cost }, true)
    }

    fn book(&self, spent: Spent, estimated: bool) -> Spent {
        self.router.accounts.lock().book(&Booking {
            provider: &self.route.provider,
            model: &self.route.model.name,
            task: self.demand.task,
            tenant: self.demand.tenant.as_deref(),
            usage: spent.usage,
            cost: spent.cost,
            estimated,
        });
        spent
    }
}

/// Sets aside what a call may cost at most, where a spend limit applies.
fn reserve(router: &Inner, demand: &Demand, route: &Route) -> Result<Option<Reservation>, ProviderError> {
    let Some(budgets) = &router.budgets else { return Ok(None) };
    let most = demand.cost_max(&route.model, route.price());
    let reserved = budgets.reserve(&route.provider, demand.tenant.as_deref(), most, router.clock.wall());
    reserved.map(Some).map_err(|over| ProviderError::new(ErrorKind::OverBudget, over.to_string()))
}

fn settle(reserved: Option<Reservation>, cost: Option<NanoUsd>) {
    if let Some(reserved) = reserved {
        reserved.settle(cost);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.route.cancelled(&ticket, self.now());
            self.broken();
        }
    }
}
