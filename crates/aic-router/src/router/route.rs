use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::record::{Outlook, Question, Record};
use crate::breaker::{Breaker, BreakerConfig, Ticket, Verdict};
use crate::latency::Work;
use crate::prefix::Prefix;
use crate::{
    BreakerState, ErrorKind, Health, ModelClass, ModelHealth, ModelInfo, ModelStats, NanoUsd, Price,
    ProviderError, ProviderInfo, ProviderKind, Task, Usage,
};

/// The longest pause taken over from a provider; a longer one is likely a mistake.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// One model of one provider, with all that is known of it.
#[derive(Debug)]
pub(super) struct Route {
    /// The provider's place among the router's.
    pub(super) provider_index: usize,
    pub(super) provider: String,
    pub(super) kind: ProviderKind,
    pub(super) model: ModelInfo,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    record: Record,
    resting_until: Option<Instant>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: u64,
    successes: u64,
    failures: u64,
    cancelled: u64,
    usage: Usage,
    cost: NanoUsd,
    unpriced: u64,
}

impl Route {
    pub(super) fn new(
        provider_index: usize,
        provider: &ProviderInfo,
        model: &ModelInfo,
        breaker: BreakerConfig,
    ) -> Self {
        let state = State {
            breaker: Breaker::new(breaker),
            record: Record::default(),
            resting_until: None,
            tally: Tally::default(),
        };
        Self {
            provider_index,
            provider: provider.name.clone(),
            kind: provider.kind,
            model: ModelInfo { class: Some(ModelClass::of(model)), ..model.clone() },
            state: Mutex::new(state),
        }
    }

    pub(super) fn price(&self) -> Option<Price> {
        self.model.price_at(self.kind)
    }

    /// Whether it can be called now, and what to expect of it.
    pub(super) fn outlook(&self, question: Question<'_>, cold: bool, now: Instant) -> (Health, Outlook) {
        let mut state = self.state.lock();
        (state.health(now), state.record.outlook(&self.model, self.kind, question, cold, now))
    }

    /// Notes that the model has read a question.
    pub(super) fn remember(&self, prefix: &Prefix, now: Instant) {
        self.state.lock().record.remember(prefix, now);
    }

    /// Takes in how good an answer was, 0 to 1.
    pub(super) fn judged(&self, task: Task, good: f64) {
        self.state.lock().record.judged(task, good);
    }

    /// Whether a request that asks for `wanted` may go here: `model`, or `provider/model`.
    pub(super) fn is_named(&self, wanted: &str) -> bool {
        let pinned = || wanted.strip_prefix(&self.provider).and_then(|rest| rest.strip_prefix('/'));
        wanted == self.model.name || pinned() == Some(self.model.name.as_str())
    }

    /// Says why no call may go through now, if so.
    pub(super) fn check(&self, now: Instant) -> Result<(), ProviderError> {
        self.state.lock().check(now)
    }

    /// Lets one call through, or says why not.
    pub(super) fn admit(&self, now: Instant) -> Result<Ticket, ProviderError> {
        let mut state = self.state.lock();
        state.check(now)?;
        let wait = state.breaker.wait(now);
        let ticket = state.breaker.admit(now).ok_or_else(|| shut_off(wait))?;
        state.tally.calls += 1;
        Ok(ticket)
    }

    /// How long the model's calls take to their first content at the percentile `q`, and of how many that was
    /// learned.
    pub(super) fn first_content_at(&self, q: f64) -> (Option<Duration>, u64) {
        self.state.lock().record.latency().first_content_at(q)
    }

    pub(super) fn is_down(&self) -> bool {
        self.state.lock().breaker.state() != BreakerState::Closed
    }

    pub(super) fn succeeded(&self, ticket: &Ticket, now: Instant) {
        let mut state = self.state.lock();
        state.tally.successes += 1;
        state.record.ended(false);
        state.breaker.record(ticket, Verdict::Well, now);
    }

    pub(super) fn failed(&self, ticket: &Ticket, kind: &ErrorKind, now: Instant) {
        let mut state = self.state.lock();
        state.tally.failures += 1;
        let verdict = Verdict::from(kind);
        if verdict != Verdict::Unknown {
            state.record.ended(verdict == Verdict::Failed);
        }
        state.breaker.record(ticket, verdict, now);
        if let Some(rest) = kind.retry_after() {
            state.resting_until = Some(now + rest.min(LONGEST_REST));
            state.breaker.hold_off(rest, now);
        }
    }

    pub(super) fn cancelled(&self, ticket: &Ticket, now: Instant) {
        let mut state = self.state.lock();
        state.tally.cancelled += 1;
        state.breaker.record(ticket, Verdict::Unknown, now);
    }

    pub(super) fn first_content(&self, after: Duration, work: Work) {
        self.state.lock().record.first_content(after, work);
    }

    pub(super) fn body(&self, took: Duration, usage: Usage, work: Work) {
        let record = &mut self.state.lock().record;
        record.body(took, usage);
        record.cached(usage, work);
    }

    /// Books what an answer used, and returns what it cost.
    pub(super) fn book(&self, usage: Option<Usage>) -> Option<NanoUsd> {
        let cost = usage.and_then(|usage| self.price()?.cost(usage));
        let tally = &mut self.state.lock().tally;
        let used = usage.unwrap_or_default();
        tally.usage.input = tally.usage.input.saturating_add(used.input);
        tally.usage.output = tally.usage.output.saturating_add(used.output);
        tally.cost = tally.cost + cost.unwrap_or_default();
        tally.unpriced += u64::from(cost.is_none());
        cost
    }

    pub(super) fn health(&self, now: Instant) -> ModelHealth {
        let (provider, model) = (self.provider.clone(), self.model.name.clone());
        ModelHealth { provider, model, health: self.state.lock().health(now) }
    }

    pub(super) fn stats(&self) -> ModelStats {
        let state = self.state.lock();
        let State { record, tally, .. } = &*state;
        let latency = record.latency();
        ModelStats {
            provider: self.provider.clone(),
            model: self.model.name.clone(),
            kind: self.kind,
            breaker: state.breaker.state(),
            calls: tally.calls,
            successes: tally.successes,
            failures: tally.failures,
            cancelled: tally.cancelled,
            first_content: latency.first_content_seconds().map(Duration::from_secs_f64),
            tokens_per_second: latency.tokens_per_second(),
            input_tokens: tally.usage.input,
            output_tokens: tally.usage.output,
            cost: tally.cost,
            unpriced: tally.unpriced,
        }
    }
}

impl State {
    fn check(&self, now: Instant) -> Result<(), ProviderError> {
        if let Some(until) = self.resting_until.filter(|until| *until > now) {
            return Err(paused(until - now, "the provider asked for a pause"));
        }
        match self.breaker.wait(now) {
            Some(Duration::ZERO) => Ok(()),
            wait => Err(shut_off(wait)),
        }
    }

    fn health(&self, now: Instant) -> Health {
        if let Some(until) = self.resting_until.filter(|until| *until > now) {
            return Health::Resting { remaining: until - now };
        }
        match self.breaker.state() {
            BreakerState::Closed => Health::Ready,
            BreakerState::Open | BreakerState::HalfOpen => Health::Down { probe_in: self.breaker.wait(now) },
        }
    }
}

fn paused(wait: Duration, why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::RateLimited { retry_after: Some(wait) }, why)
}

fn shut_off(wait: Option<Duration>) -> ProviderError {
    let message = "shut off after failing too often";
    ProviderError::new(ErrorKind::Overloaded { retry_after: wait }, message)
}
