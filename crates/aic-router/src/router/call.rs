use std::sync::Arc;
use std::time::{Duration, Instant};

use super::route::Route;
use crate::breaker::Ticket;
use crate::{Clock, ErrorKind, NanoUsd, ProviderError, Usage};

/// One call on its way: measures it, and books how it ends exactly once, also when it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    route: Arc<Route>,
    clock: Arc<dyn Clock>,
    ticket: Option<Ticket>,
    started: Instant,
    first_content: Option<Instant>,
}

impl Call {
    pub(super) fn begin(route: &Arc<Route>, clock: &Arc<dyn Clock>) -> Result<Self, ProviderError> {
        let started = clock.now();
        let ticket = route.admit(started)?;
        Ok(Self {
            route: route.clone(),
            clock: clock.clone(),
            ticket: Some(ticket),
            started,
            first_content: None,
        })
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.now() - self.started
    }

    /// Notes that the first content is there.
    pub(super) fn has_content(&mut self) {
        self.first_content = Some(self.clock.now());
        self.route.first_content(self.elapsed());
    }

    /// The call was answered whole. Returns its cost.
    pub(super) fn succeed(&mut self, usage: Option<Usage>) -> Option<NanoUsd> {
        let ticket = self.ticket.take()?;
        let now = self.clock.now();
        self.route.succeeded(&ticket, now);
        if let (Some(first), Some(usage)) = (self.first_content, usage) {
            self.route.body(now - first, usage);
        }
        self.route.book(usage)
    }

    /// The call failed. A timeout is charged to the latency too, or a stuck model would look quick.
    pub(super) fn fail(&mut self, kind: &ErrorKind) {
        let Some(ticket) = self.ticket.take() else { return };
        if *kind == ErrorKind::Timeout && self.first_content.is_none() {
            self.route.first_content(self.elapsed());
        }
        self.route.failed(&ticket, kind, self.clock.now());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.route.cancelled(&ticket, self.clock.now());
        }
    }
}
