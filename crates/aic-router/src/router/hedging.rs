//! When a second call may start beside a slow first one.

use std::collections::VecDeque;
use std::time::Duration;

use super::Inner;
use super::choice::Leg;
use crate::ChatRequest;

impl Inner {
    /// How long to wait for a model before another may be called beside it; `None` where that may not be.
    pub(super) fn hedge_delay(
        &self,
        _request: &ChatRequest,
        _leg: &Leg,
        _others: &VecDeque<Leg>,
    ) -> Option<Duration> {
        None
    }

    /// Takes the model to be called beside a model out of `others`, if the budget allows it.
    pub(super) fn take_hedge(&self, _leg: &Leg, others: &mut VecDeque<Leg>) -> Option<Leg> {
        others.pop_front()
    }
}
