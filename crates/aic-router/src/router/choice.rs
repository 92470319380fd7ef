//! Which models may take a request, and in which order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::route::Route;
use crate::explain::{Candidate, Explanation, Parts, Refusal};
use crate::quality::prior;
use crate::{ChatRequest, Health, NanoUsd, Priority, ProviderKind, Purpose, Task, Usage};

/// The answer's length where the request does not bound it, for estimates.
const EXPECTED_OUTPUT: u64 = 256;
/// Seconds for a whole answer at which the speed part is one half.
const HALF_SPEED_SECONDS: f64 = 5.0;
/// Dollars per request at which the cost part is one half.
const HALF_COST_DOLLARS: f64 = 0.001;

/// An order of trial with its reasons.
pub(super) struct Plan {
    pub(super) order: Vec<Arc<Route>>,
    pub(super) explanation: Explanation,
}

/// How much quality, speed and cost weigh. Chosen by hand: the named one outweighs the others together.
fn weights(priority: Priority) -> [f64; 3] {
    match priority {
        Priority::Quality => [0.8, 0.1, 0.1],
        Priority::Speed => [0.2, 0.7, 0.1],
        Priority::Cost => [0.2, 0.1, 0.7],
    }
}

impl Inner {
    pub(super) fn plan(&self, request: &ChatRequest, now: Instant) -> Plan {
        let asked = Asked::new(request);
        let mut entries: Vec<(Arc<Route>, Candidate)> = self
            .routes
            .iter()
            .filter(|route| route.model.purpose == Purpose::Chat)
            .map(|route| (route.clone(), asked.candidate(route, now)))
            .collect();
        self.sort(&mut entries);
        if let Some((_, first)) = entries.first_mut() {
            first.chosen = first.why_not.is_none();
        }
        let order =
            entries.iter().filter(|(_, c)| c.why_not.is_none()).map(|(route, _)| route.clone()).collect();
        let candidates = entries.into_iter().map(|(_, candidate)| candidate).collect();
        Plan { order, explanation: asked.explanation(candidates) }
    }

    /// Puts those that may first and those that rest after them, then goes by provider where a chain is set,
    /// then by score; ties keep the chain's order.
    fn sort(&self, entries: &mut [(Arc<Route>, Candidate)]) {
        let strict = self.settings.chain.is_some();
        let place = |route: &Route| if strict { route.provider_index } else { 0 };
        entries.sort_by(|(a, left), (b, right)| {
            let refused = left.why_not.is_some().cmp(&right.why_not.is_some());
            refused.then(place(a).cmp(&place(b))).then(right.score.total_cmp(&left.score))
        });
    }
}

/// What a request asks for, worked out once.
struct Asked<'a> {
    request: &'a ChatRequest,
    task: Task,
    usage: Usage,
}

impl<'a> Asked<'a> {
    fn new(request: &'a ChatRequest) -> Self {
        let task = request.task.unwrap_or_else(|| Task::guess(request));
        let output = request.max_tokens.map_or(EXPECTED_OUTPUT, u64::from);
        let usage = Usage { input: request.estimated_tokens(), output, ..Usage::default() };
        Self { request, task, usage }
    }

    fn explanation(&self, candidates: Vec<Candidate>) -> Explanation {
        Explanation {
            task: self.task,
            task_guessed: self.request.task.is_none(),
            priority: self.request.priority,
            input_tokens: self.usage.input,
            candidates,
        }
    }

    fn candidate(&self, route: &Route, now: Instant) -> Candidate {
        let estimate = route.price().and_then(|price| price.cost(self.usage));
        let parts = self.parts(route, estimate);
        let [quality, speed, cost] = weights(self.request.priority);
        let health = route.health(now).health;
        Candidate {
            provider: route.provider.clone(),
            model: route.model.name.clone(),
            score: quality * parts.quality + speed * parts.speed + cost * parts.cost,
            parts,
            estimate,
            chosen: false,
            resting: resting(&health),
            why_not: self.why_not(route, &health),
        }
    }

    fn parts(&self, route: &Route, estimate: Option<NanoUsd>) -> Parts {
        let latency = route.latency();
        let seconds = latency.predict(self.usage.output, latency_prior(route.kind));
        Parts {
            quality: prior(&route.model, self.task),
            speed: HALF_SPEED_SECONDS / (HALF_SPEED_SECONDS + seconds),
            speed_measured: latency.first_content_seconds().is_some(),
            cost: estimate.map_or(0.0, |cost| HALF_COST_DOLLARS / (HALF_COST_DOLLARS + cost.dollars())),
        }
    }

    fn why_not(&self, route: &Route, health: &Health) -> Option<Refusal> {
        if self.request.model.as_deref().is_some_and(|wanted| !route.is_named(wanted)) {
            return Some(Refusal::OtherModel);
        }
        self.too_long(route).or_else(|| shut_off(health))
    }

    fn too_long(&self, route: &Route) -> Option<Refusal> {
        let needed_tokens = self.usage.input + self.request.max_tokens.map_or(0, u64::from);
        let context_tokens = route.model.context_tokens.filter(|limit| needed_tokens > *limit)?;
        Some(Refusal::TooLong { context_tokens, needed_tokens })
    }
}

/// Seconds to the first content and per token before any call was seen. Priors, not measured.
fn latency_prior(kind: ProviderKind) -> (f64, f64) {
    match kind {
        ProviderKind::Local => (1.0, 0.05),
        ProviderKind::Cloud => (0.8, 0.015),
    }
}

fn resting(health: &Health) -> Option<Duration> {
    if let Health::Resting { remaining } = health { Some(*remaining) } else { None }
}

/// A breaker whose pause is over lets the request through as its probe.
fn shut_off(health: &Health) -> Option<Refusal> {
    match health {
        Health::Down { probe_in } if *probe_in != Some(Duration::ZERO) => {
            Some(Refusal::ShutOff { probe_in: *probe_in })
        }
        _ => None,
    }
}
