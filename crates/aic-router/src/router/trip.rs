//! One request's way over its models: attempts, pauses, hedges and fallbacks.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use super::Inner;
use super::allowance::Allowance;
use super::body::Body;
use super::demand::Demand;
use super::errand::Errand;
use super::opening::{Opened, open};
use super::resume;
use super::route::Route;
use crate::backoff::Backoff;
use crate::{Attempt, ChatRequest, ChatStream, Error, NextStep, Result, Task};

#[derive(Debug)]
pub(super) struct Trip {
    errand: Arc<Errand>,
    allowance: Allowance,
}

impl Trip {
    pub(super) fn new(router: Arc<Inner>, request: ChatRequest) -> Self {
        let allowance = Allowance::new(&router, request.deadline);
        let task = request.task.unwrap_or_else(|| Task::guess(&request));
        let demand = Arc::new(Demand::of_chat(&request, task));
        let errand = Errand { router, request, demand, deadline: allowance.deadline() };
        Self { errand: Arc::new(errand), allowance }
    }

    pub(super) async fn chat(mut self) -> Result<ChatStream> {
        let router = &self.errand.router;
        if router.providers.is_empty() {
            return Err(Error::NoProvider);
        }
        let plan = router.plan(&self.errand.request, self.now());
        if plan.order.is_empty() {
            return Err(Error::NoCandidate(Box::new(plan.explanation)));
        }
        match self.walk(plan.order.into()).await {
            Some(opened) => Ok(Body::new(self, opened).into_stream()),
            None => {
                let now = self.now();
                Err(self.allowance.into_error(now))
            }
        }
    }

    pub(super) fn errand(&self) -> &Errand {
        &self.errand
    }

    /// Goes on after an answer that broke off behind `told`, at a model that can; `None` if nobody could.
    pub(super) async fn resume(&mut self, told: &str) -> Option<Opened> {
        if !self.allowance.take_retry() {
            return None;
        }
        let request = resume::request(&self.errand.request, told);
        let order = self.errand.router.plan(&request, self.now()).order;
        let able: VecDeque<_> = order.into_iter().filter(|route| resume::is_able(&route.model)).collect();
        let Errand { router, demand, deadline, .. } = &*self.errand;
        let errand = Errand { router: router.clone(), request, demand: demand.clone(), deadline: *deadline };
        self.errand = Arc::new(errand);
        self.walk(able).await
    }

    /// Tries the models in order.
    async fn walk(&mut self, mut order: VecDeque<Arc<Route>>) -> Option<Opened> {
        while let Some(route) = order.pop_front() {
            if self.now() >= self.errand.deadline {
                return None;
            }
            match self.with_retries(&route, &mut order).await {
                Ok(opened) => return Some(opened),
                Err(NextStep::Stop) => return None,
                Err(NextStep::NextProvider) => {
                    order.retain(|next| next.provider_index != route.provider_index);
                }
                Err(NextStep::NextModel | NextStep::Retry) => {}
            }
        }
        None
    }

    /// Tries one model until it answers or it is time for the next.
    async fn with_retries(
        &mut self,
        route: &Arc<Route>,
        others: &mut VecDeque<Arc<Route>>,
    ) -> Result<Opened, NextStep> {
        let mut backoff = Backoff::new();
        loop {
            let failed = match self.attempt(route, others).await {
                Ok(opened) => return Ok(opened),
                Err(failed) => failed,
            };
            let longest =
                if others.is_empty() { Duration::MAX } else { self.errand.router.settings.patience };
            let now = self.now();
            let pause = self.allowance.retry(failed, &mut backoff, longest, now)?;
            tokio::time::sleep(pause).await;
        }
    }

    /// Calls `route`, and one of the others beside it where it is slower than it nearly always is.
    async fn attempt(
        &mut self,
        route: &Arc<Route>,
        others: &mut VecDeque<Arc<Route>>,
    ) -> Result<Opened, Attempt> {
        let errand = self.errand.clone();
        let Some(delay) = errand.router.hedge_delay(&errand.request, route, others) else {
            return open(&errand, route).await;
        };
        let mut first = pin!(open(&errand, route));
        if let Ok(result) = tokio::time::timeout(delay, first.as_mut()).await {
            return result;
        }
        let Some(other) = errand.router.take_hedge(route, others) else {
            return first.await;
        };
        let second = pin!(open(&errand, &other));
        match select(first, second).await {
            Either::Left((Ok(opened), _)) | Either::Right((Ok(opened), _)) => Ok(opened),
            Either::Left((Err(failed), second)) => self.instead(second.await, failed),
            Either::Right((Err(failed), first)) => {
                self.allowance.note(failed);
                first.await
            }
        }
    }

    /// The hedge's answer in place of the call that failed; if it failed too, that call's failure counts.
    fn instead(&mut self, hedge: Result<Opened, Attempt>, failed: Attempt) -> Result<Opened, Attempt> {
        match hedge {
            Ok(opened) => {
                self.allowance.note(failed);
                Ok(opened)
            }
            Err(also) => {
                self.allowance.note(also);
                Err(failed)
            }
        }
    }

    fn now(&self) -> Instant {
        self.errand.now()
    }
}
