//! One request's way over its models: attempts, pauses, hedges and fallbacks.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use super::Inner;
use super::allowance::Allowance;
use super::body::Body;
use super::choice::Leg;
use super::demand::Demand;
use super::errand::Errand;
use super::opening::{Opened, open};
use super::resume;
use crate::backoff::Backoff;
use crate::{Attempt, ChatRequest, ChatStream, Error, NextStep, Result, Task};

#[derive(Debug)]
pub(super) struct Trip {
    /// What is being asked now: after a break, for the rest of the answer.
    errand: Arc<Errand>,
    /// What was asked in the first place.
    asked: Arc<Errand>,
    allowance: Allowance,
}

impl Trip {
    pub(super) fn new(router: Arc<Inner>, request: ChatRequest) -> Self {
        let allowance = Allowance::new(&router, request.deadline);
        let task = request.task.unwrap_or_else(|| Task::guess(&request));
        let demand = Arc::new(Demand::of_chat(&request, task));
        let errand = Errand { router, request, demand, deadline: allowance.deadline() };
        let asked = Arc::new(errand);
        Self { errand: asked.clone(), asked, allowance }
    }

    pub(super) async fn chat(mut self) -> Result<ChatStream> {
        let errand = self.errand.clone();
        if errand.router.providers.is_empty() {
            return Err(Error::NoProvider);
        }
        if let Some(hedging) = &errand.router.hedging {
            hedging.deposit();
        }
        let plan = errand.router.plan(&errand.request, &errand.demand, errand.now());
        let legs = plan.legs();
        if legs.is_empty() {
            return Err(Error::NoCandidate(Box::new(plan.explanation())));
        }
        match self.walk(legs).await {
            Some(opened) => {
                plan.served_by(opened.call.route(), errand.now());
                Ok(Body::new(self, opened).into_stream())
            }
            None => Err(self.allowance.into_error(errand.now())),
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
        let Errand { router, request, demand, deadline } = &*self.asked;
        let request = resume::request(request, told);
        let demand = Arc::new(Demand::of_chat(&request, demand.task));
        let mut able = router.plan(&request, &demand, self.now()).legs();
        able.retain(|leg| resume::is_able(&leg.route.model));
        let errand = Errand { router: router.clone(), request, demand, deadline: *deadline };
        self.errand = Arc::new(errand);
        self.walk(able).await
    }

    /// Tries the models in order.
    async fn walk(&mut self, mut legs: VecDeque<Leg>) -> Option<Opened> {
        while let Some(leg) = legs.pop_front() {
            if self.now() >= self.errand.deadline {
                return None;
            }
            match self.with_retries(&leg, &mut legs).await {
                Ok(opened) => return Some(opened),
                Err(NextStep::Stop) => return None,
                Err(NextStep::NextProvider) => {
                    legs.retain(|next| next.route.provider_index != leg.route.provider_index);
                }
                Err(NextStep::NextModel | NextStep::Retry) => {}
            }
        }
        None
    }

    /// Tries one model until it answers or it is time for the next.
    async fn with_retries(&mut self, leg: &Leg, others: &mut VecDeque<Leg>) -> Result<Opened, NextStep> {
        let mut backoff = Backoff::new();
        loop {
            let failed = match self.attempt(leg, others).await {
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

    /// Calls a model, and one of the others beside it where it is slower than it nearly always is.
    async fn attempt(&mut self, leg: &Leg, others: &mut VecDeque<Leg>) -> Result<Opened, Attempt> {
        let errand = self.errand.clone();
        let Some(delay) = errand.router.hedge_delay(&errand.request, leg, others) else {
            return open(&errand, leg).await;
        };
        let mut first = pin!(open(&errand, leg));
        if let Ok(result) = tokio::time::timeout(delay, first.as_mut()).await {
            return result;
        }
        let Some(other) = errand.router.take_hedge(others) else {
            return first.await;
        };
        let second = pin!(open(&errand, &other));
        match select(first, second).await {
            Either::Left((Ok(opened), _)) | Either::Right((Ok(opened), _)) => Ok(opened),
            Either::Left((Err(failed), second)) => {
                let hedge = second.await;
                // The first call's failure is the one that counts, and the hedge's only if that is all there is.
                let (opened, noted) = match hedge {
                    Ok(opened) => (Ok(opened), failed),
                    Err(also) => (Err(failed), also),
                };
                self.allowance.note(noted);
                opened
            }
            Either::Right((Err(failed), first)) => {
                self.allowance.note(failed);
                first.await
            }
        }
    }

    fn now(&self) -> Instant {
        self.errand.now()
    }
}
