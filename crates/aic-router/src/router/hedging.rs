//! When a second call may start beside a slow first one.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use super::Inner;
use super::choice::Leg;
use crate::hedge::{HedgeBudget, Seen};
use crate::{ChatRequest, Hedge, Result};

#[derive(Debug)]
pub(super) struct Hedging {
    hedge: Hedge,
    budget: Mutex<HedgeBudget>,
}

impl Hedging {
    pub(super) fn new(hedge: Hedge) -> Result<Self> {
        let hedge = hedge.check()?;
        Ok(Self { hedge, budget: Mutex::new(HedgeBudget::new(&hedge)) })
    }

    /// Counts a request, which earns its share of a hedge.
    pub(super) fn deposit(&self) {
        self.budget.lock().deposit();
    }
}

impl Inner {
    /// How long to wait for `leg` before another model may be called beside it; `None` where that may not be.
    pub(super) fn hedge_delay(
        &self,
        request: &ChatRequest,
        leg: &Leg,
        others: &VecDeque<Leg>,
    ) -> Option<Duration> {
        let hedge = &self.hedging.as_ref()?.hedge;
        others.front()?;
        let (first_content, observations) = leg.route.first_content_at(hedge.at_percentile());
        hedge.delay(Seen {
            first_content,
            observations,
            partial_outage: self.routes.iter().any(|route| route.is_down()),
            has_tools: !request.tools.is_empty(),
        })
    }

    /// Takes the model to be called beside a slow one out of `others`, if the budget allows it.
    pub(super) fn take_hedge(&self, others: &mut VecDeque<Leg>) -> Option<Leg> {
        let hedging = self.hedging.as_ref()?;
        hedging.budget.lock().withdraw().then(|| others.pop_front()).flatten()
    }
}
