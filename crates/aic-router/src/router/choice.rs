//! Which models may take a request, and in which order.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::demand::Demand;
use super::record::{Outlook, Question};
use super::route::Route;
use crate::explain::{Candidate, Explanation, Later, Refusal};
use crate::goal::{self, Figures};
use crate::latency::Work;
use crate::prefix::Prefix;
use crate::{Ability, ChatRequest, Constraints, Health, NanoUsd, Purpose, Task, Usage, Warmth};

/// An order of trial, from which its reasons can be told.
pub(super) struct Plan<'a> {
    asked: Asked<'a>,
    goal: Constraints,
    strict: bool,
    /// Those that may take the request, first choice first, and then those that may not.
    entries: Vec<Entry<'a>>,
}

/// One model to be tried.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) route: Arc<Route>,
    /// What a call has to do before its first content.
    pub(super) work: Work,
    /// Whether it pays to have the question's beginning kept in the prompt cache.
    pub(super) cache_pays: bool,
}

/// One model, as it stands for this request. Names nothing, so that a choice costs no copies of texts.
struct Entry<'a> {
    route: &'a Arc<Route>,
    outlook: Outlook,
    figures: Figures,
    /// How far it misses the goal.
    violation: f64,
    /// What the request needs and the model is not known to be able to do.
    unsure: Option<Ability>,
    resting: Option<Duration>,
    why_not: Option<Refusal>,
}

impl Inner {
    pub(super) fn plan<'a>(&'a self, request: &'a ChatRequest, demand: &Demand, now: Instant) -> Plan<'a> {
        let asked = Asked::new(request, demand);
        let chats = self.routes.iter().filter(|route| route.model.purpose == Purpose::Chat);
        let mut entries: Vec<Entry<'a>> = chats
            .map(|route| {
                let warmth = self.providers[route.provider_index].warmth(&route.model.name);
                let mut entry = asked.entry(route, warmth == Warmth::Cold, now);
                entry.why_not = entry.why_not.or_else(|| self.over_budget(route, demand));
                entry
            })
            .collect();
        charge_failures(&mut entries);
        let goal = asked.goal(&entries);
        entries.iter_mut().for_each(|entry| entry.violation = goal::violation(&goal, &entry.figures));
        let strict = self.settings.chain.is_some();
        entries.sort_by(|left, right| left.compare(right, strict));
        Plan { asked, goal, strict, entries }
    }

    fn over_budget(&self, route: &Route, demand: &Demand) -> Option<Refusal> {
        let budgets = self.budgets.as_ref()?;
        let left = budgets.left(&route.provider, demand.tenant.as_deref(), self.clock.wall())?;
        let needed = demand.cost_max(&route.model, route.price());
        needed.is_none_or(|needed| needed > left).then_some(Refusal::OverBudget { needed, left })
    }
}

/// Adds what the failures of each model are expected to cost: the retry at the cheapest of the others.
///
/// A failed call itself is not charged twice: providers bill for few of them, and its time is in the latency.
fn charge_failures(entries: &mut [Entry<'_>]) {
    let may = entries.iter().enumerate().filter(|(_, entry)| entry.why_not.is_none());
    let mut known: Vec<(NanoUsd, usize)> =
        may.filter_map(|(index, entry)| Some((entry.figures.price?, index))).collect();
    known.sort_unstable();
    for (index, entry) in entries.iter_mut().enumerate() {
        let elsewhere = known.iter().find(|(_, other)| *other != index).map(|(price, _)| *price);
        let retry = elsewhere.or(entry.figures.price).unwrap_or_default().0 as f64 * entry.outlook.failing;
        entry.figures.expected = entry.figures.price.map(|price| price + NanoUsd(retry as u64));
    }
}

impl Entry<'_> {
    /// Those that may before those that may not; then by provider where a chain is set; then those that can be
    /// called at once, meet the goal, and are known to be able; then by the goal. Equal ones keep the chain's
    /// order.
    fn compare(&self, other: &Self, strict: bool) -> Ordering {
        let place = |entry: &Self| if strict { entry.route.provider_index } else { 0 };
        let standing = |entry: &Self| {
            let misses = entry.violation > 0.0;
            (entry.why_not.is_some(), place(entry), entry.resting.is_some(), misses, entry.unsure.is_some())
        };
        let by_goal = || goal::compare((self.violation, &self.figures), (other.violation, &other.figures));
        standing(self).cmp(&standing(other)).then_with(by_goal)
    }

    /// Why it is tried after `first`: the first thing in which they differ, in the order of choosing.
    fn later_than(&self, first: &Self, goal: &Constraints, strict: bool) -> Later {
        let (mine, firsts) = (&self.figures, &first.figures);
        let dearer = || mine.price.zip(firsts.price).is_some_and(|(mine, firsts)| mine > firsts);
        match self {
            _ if strict && self.route.provider_index != first.route.provider_index => Later::Chain,
            Self { resting: Some(remaining), .. } => Later::Rests { remaining: *remaining },
            _ if self.violation > first.violation => missed(goal, mine),
            Self { unsure: Some(ability), .. } if first.unsure.is_none() => {
                Later::Unsure { ability: *ability }
            }
            _ if mine.expected.is_none() && firsts.expected.is_some() => Later::PriceUnknown,
            _ if mine.expected > firsts.expected && dearer() => Later::Dearer,
            _ if mine.expected > firsts.expected => Later::FailsMore { failing: self.outlook.failing },
            _ if mine.quality < firsts.quality => Later::LessGood,
            _ if mine.p95 > firsts.p95 => Later::Slower,
            _ => Later::Chain,
        }
    }
}

/// What of the goal a model misses: the quality, unless only the time.
fn missed(goal: &Constraints, figures: &Figures) -> Later {
    let Figures { quality, p95, .. } = *figures;
    match (goal.quality_min.filter(|min| quality < *min), goal.latency_p95_max) {
        (Some(wanted), _) => Later::MissesQuality { quality, wanted },
        (None, Some(wanted)) => Later::MissesLatency { p95, wanted },
        (None, None) => Later::Chain,
    }
}

impl Plan<'_> {
    /// The models that may take the request, first choice first.
    pub(super) fn legs(&self) -> VecDeque<Leg> {
        let leg = |entry: &Entry<'_>| Leg {
            route: entry.route.clone(),
            work: entry.outlook.work,
            cache_pays: entry.outlook.cache_pays,
        };
        self.entries.iter().filter(|entry| entry.why_not.is_none()).map(leg).collect()
    }

    /// Notes that `route` has read the question and begun to answer.
    pub(super) fn served_by(&self, route: &Route, now: Instant) {
        route.remember(&self.asked.prefix, now);
    }

    pub(super) fn explanation(&self) -> Explanation {
        let first = self.entries.first().filter(|entry| entry.why_not.is_none());
        let candidates = self.entries.iter().enumerate().map(|(index, entry)| {
            let later = first.filter(|_| index > 0 && entry.why_not.is_none());
            let why_later = later.map(|first| entry.later_than(first, &self.goal, self.strict));
            entry.candidate(index == 0 && first.is_some(), why_later)
        });
        Explanation {
            task: self.asked.task,
            task_guessed: self.asked.request.task.is_none(),
            priority: self.asked.request.priority,
            goal: self.goal,
            constraints: self.asked.request.constraints,
            input_tokens: self.asked.usage.input,
            candidates: candidates.collect(),
        }
    }
}

impl Entry<'_> {
    fn candidate(&self, chosen: bool, why_later: Option<Later>) -> Candidate {
        Candidate {
            provider: self.route.provider.clone(),
            model: self.route.model.name.clone(),
            quality: self.outlook.quality,
            latency: self.outlook.latency,
            estimate: self.figures.price,
            expected_cost: self.figures.expected,
            failing: self.outlook.failing,
            cached_tokens: self.outlook.usage.cached_input.unwrap_or(0),
            cold: self.outlook.work.cold,
            chosen,
            resting: self.resting,
            why_later,
            why_not: self.why_not,
        }
    }
}

/// What a request asks for, worked out once.
struct Asked<'a> {
    request: &'a ChatRequest,
    task: Task,
    usage: Usage,
    needs: Vec<Ability>,
    prefix: Prefix,
}

impl<'a> Asked<'a> {
    fn new(request: &'a ChatRequest, demand: &Demand) -> Self {
        let (task, usage) = (demand.task, demand.likely);
        let prefix = Prefix::of(request, usage.input);
        Self { request, task, usage, needs: request.needs().collect(), prefix }
    }

    fn entry(&self, route: &'a Arc<Route>, cold: bool, now: Instant) -> Entry<'a> {
        let question = Question { task: self.task, usage: self.usage, prefix: &self.prefix };
        let (health, outlook) = route.outlook(question, cold, now);
        let figures = Figures {
            quality: outlook.quality.mean,
            p95: outlook.latency.p95,
            price: route.price().and_then(|price| price.cost(outlook.usage)),
            expected: None,
        };
        Entry {
            route,
            outlook,
            figures,
            violation: 0.0,
            unsure: self.needs.iter().find(|need| route.model.ability(**need).is_none()).copied(),
            resting: resting(&health),
            why_not: self.why_not(route, &health, &figures),
        }
    }

    /// The priority's goal among the models that can be called at once, or else among those that rest.
    fn goal(&self, entries: &[Entry<'_>]) -> Constraints {
        let may = |rests: bool| {
            let stands =
                move |entry: &&Entry<'_>| entry.why_not.is_none() && entry.resting.is_some() == rests;
            entries.iter().filter(stands).map(|entry| &entry.figures)
        };
        let rests = may(false).next().is_none();
        goal::goal(self.request.priority, may(rests))
    }

    fn why_not(&self, route: &Route, health: &Health, figures: &Figures) -> Option<Refusal> {
        if self.request.model.as_deref().is_some_and(|wanted| !route.is_named(wanted)) {
            return Some(Refusal::OtherModel);
        }
        self.lacks(route)
            .or_else(|| self.too_long(route))
            .or_else(|| goal::refusal(&self.request.constraints, figures))
            .or_else(|| shut_off(health))
    }

    fn lacks(&self, route: &Route) -> Option<Refusal> {
        let lacking = self.needs.iter().find(|need| route.model.ability(**need) == Some(false));
        lacking.map(|ability| Refusal::Lacks { ability: *ability })
    }

    fn too_long(&self, route: &Route) -> Option<Refusal> {
        let needed_tokens = self.usage.input + self.request.max_tokens.map_or(0, u64::from);
        let context_tokens = route.model.context_tokens.filter(|limit| needed_tokens > *limit)?;
        Some(Refusal::TooLong { context_tokens, needed_tokens })
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
