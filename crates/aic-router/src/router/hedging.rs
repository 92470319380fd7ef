//! When a second call may start beside a slow first one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::route::Route;
use crate::ChatRequest;

impl Inner {
    /// How long to wait for `route` before another may be called beside it; `None` where that may not be.
    pub(super) fn hedge_delay(
        &self,
        _request: &ChatRequest,
        _route: &Route,
        _others: &VecDeque<Arc<Route>>,
    ) -> Option<Duration> {
        None
    }

    /// Takes the model to be called beside `route` out of `others`, if the budget allows it.
    pub(super) fn take_hedge(&self, _route: &Route, others: &mut VecDeque<Arc<Route>>) -> Option<Arc<Route>> {
        others.pop_front()
    }
}
