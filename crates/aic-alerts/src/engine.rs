use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future;

use crate::notification::fingerprint;
use crate::outbox::{Outbox, lock};
use crate::state::{Effect, Input, State};
use crate::{
    Alert, AlertsBuilder, Clock, Deliveries, Labels, Notification, Notifier, Observation, Phase, Rule,
    Source, Status, Transition,
};

/// Evaluates rules, remembers which alerts are active, and has notifiers tell of them.
#[derive(Debug)]
pub struct Alerts {
    rules: Vec<Rule>,
    source: Box<dyn Source>,
    clock: Box<dyn Clock>,
    tracked: Mutex<Tracked>,
    couriers: Vec<Courier>,
    delivery_timeout: Duration,
}

/// The alerts of each rule, by the rule's place, that are pending or firing.
type Tracked = Vec<BTreeMap<Labels, Known>>;

#[derive(Clone, Debug)]
struct Known {
    state: State,
    /// When the phase began.
    since: SystemTime,
    value: Option<f64>,
}

/// A notifier with its queue, which is opened by the first evaluation: that one has a runtime.
#[derive(Debug)]
struct Courier {
    notifier: Arc<dyn Notifier>,
    count: Arc<Mutex<Deliveries>>,
    outbox: OnceLock<Outbox>,
}

/// The time of one evaluation.
#[derive(Clone, Copy)]
struct Now {
    instant: Instant,
    wall: SystemTime,
}

impl Alerts {
    /// Alerts without rules or notifiers yet.
    pub fn builder() -> AlertsBuilder {
        AlertsBuilder::default()
    }

    pub(crate) fn new(
        rules: Vec<Rule>,
        source: Box<dyn Source>,
        notifiers: Vec<Arc<dyn Notifier>>,
        delivery_timeout: Duration,
        clock: Box<dyn Clock>,
    ) -> Self {
        let tracked = Mutex::new(vec![BTreeMap::new(); rules.len()]);
        let couriers = notifiers.into_iter().map(Courier::new).collect();
        Self { rules, source, clock, tracked, couriers, delivery_timeout }
    }

    /// Compares each rule with the source's values once and returns what changed.
    ///
    /// Alerts that fire or resolve are queued for every notifier and delivered in the background, in order, with
    /// three attempts each; [`Alerts::deliveries`] tells how that goes and [`Alerts::flush`] waits for it.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    /// It never waits, so it cannot be cancelled halfway.
    pub async fn evaluate(&self) -> Vec<Transition> {
        let now = Now { instant: self.clock.now(), wall: self.clock.wall() };
        let mut transitions = Vec::new();
        let mut tracked = lock(&self.tracked);
        for (rule, known) in self.rules.iter().zip(tracked.iter_mut()) {
            self.evaluate_rule(rule, known, now, &mut transitions);
        }
        transitions
    }

    fn evaluate_rule(
        &self,
        rule: &Rule,
        known: &mut BTreeMap<Labels, Known>,
        now: Now,
        transitions: &mut Vec<Transition>,
    ) {
        let mut seen = BTreeSet::new();
        for Observation { labels, value } in self.source.latest(rule.metric()) {
            if rule.watches(&labels) {
                let value = self.judged_value(rule, &labels, value);
                transitions.extend(self.observe(rule, known, &labels, value, now));
                seen.insert(labels);
            }
        }
        let missing: Vec<_> = known.keys().filter(|labels| !seen.contains(*labels)).cloned().collect();
        for labels in missing {
            transitions.extend(self.observe(rule, known, &labels, None, now));
        }
    }

    /// The value that the rule judges: the latest, or the mean of the last while. Missing if the latest is.
    fn judged_value(&self, rule: &Rule, labels: &Labels, latest: Option<f64>) -> Option<f64> {
        let latest = latest.filter(|value| value.is_finite())?;
        let Some(over) = rule.over() else { return Some(latest) };
        let values = self.source.history(rule.metric(), labels, over);
        let count = values.len() as f64;
        Some(values.iter().map(|value| value / count).sum::<f64>()).filter(|_| !values.is_empty())
    }

    /// Takes one alert a step further; alerts that are over are forgotten.
    fn observe(
        &self,
        rule: &Rule,
        known: &mut BTreeMap<Labels, Known>,
        labels: &Labels,
        value: Option<f64>,
        now: Now,
    ) -> Option<Transition> {
        let input = judge(rule, value);
        let before = match known.get(labels) {
            Some(before) => before.clone(),
            None if input == Input::Breach => Known::inactive(now),
            None => return None,
        };
        let (state, effect) = before.state.step(&rule.timing(), input, now.instant);
        if matches!(state.phase(), Phase::Pending | Phase::Firing) {
            let since = if effect.is_some() { now.wall } else { before.since };
            known.insert(labels.clone(), Known { state, since, value });
        } else {
            known.remove(labels);
        }
        let transition = transition(rule, labels, value, effect?, now);
        self.notify(rule, &transition, before.since);
        Some(transition)
    }

    /// Queues a notification if the alert fires or resolves; `began` is when its last phase did.
    fn notify(&self, rule: &Rule, transition: &Transition, began: SystemTime) {
        let (status, started_at, ended_at) = match transition.to {
            Phase::Firing => (Status::Firing, transition.at, None),
            Phase::Resolved => (Status::Resolved, began, Some(transition.at)),
            Phase::Inactive | Phase::Pending => return,
        };
        let notification = Arc::new(Notification {
            status,
            rule: transition.rule.clone(),
            severity: transition.severity,
            metric: rule.metric().to_owned(),
            labels: transition.labels.clone(),
            value: transition.value,
            threshold: rule.threshold(),
            summary: transition.summary.clone(),
            started_at,
            ended_at,
            for_lack_of_data: transition.for_lack_of_data,
            fingerprint: fingerprint(&transition.rule, &transition.labels),
        });
        for courier in &self.couriers {
            courier.outbox(self.delivery_timeout).send(Arc::clone(&notification));
        }
    }

    /// The alerts that are pending or firing, the most severe first.
    pub fn active(&self) -> Vec<Alert> {
        let tracked = lock(&self.tracked);
        let of_rule = |(rule, known): (&Rule, &BTreeMap<Labels, Known>)| {
            known.iter().map(|(labels, known)| alert(rule, labels, known)).collect::<Vec<_>>()
        };
        let mut alerts: Vec<_> = self.rules.iter().zip(tracked.iter()).flat_map(of_rule).collect();
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.phase != Phase::Firing));
        alerts
    }

    /// What became of the notifications, for each notifier.
    pub fn deliveries(&self) -> Vec<Deliveries> {
        self.couriers.iter().map(|courier| lock(&courier.count).clone()).collect()
    }

    /// Waits until every notification queued so far was delivered or given up.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting.
    pub async fn flush(&self) {
        let open = self.couriers.iter().filter_map(|courier| courier.outbox.get());
        future::join_all(open.map(Outbox::flush)).await;
    }
}

impl Known {
    fn inactive(now: Now) -> Self {
        Self { state: State::inactive(now.instant), since: now.wall, value: None }
    }
}

impl Courier {
    fn new(notifier: Arc<dyn Notifier>) -> Self {
        let count = Deliveries { notifier: notifier.name().to_owned(), ..Deliveries::default() };
        Self { notifier, count: Arc::new(Mutex::new(count)), outbox: OnceLock::new() }
    }

    fn outbox(&self, timeout: Duration) -> &Outbox {
        self.outbox.get_or_init(|| Outbox::open(Arc::clone(&self.notifier), timeout, Arc::clone(&self.count)))
    }
}

fn judge(rule: &Rule, value: Option<f64>) -> Input {
    match value {
        Some(value) if rule.is_broken_by(value) => Input::Breach,
        Some(_) => Input::Clear,
        None => Input::Absent,
    }
}

fn transition(rule: &Rule, labels: &Labels, value: Option<f64>, effect: Effect, now: Now) -> Transition {
    Transition {
        rule: rule.name().to_owned(),
        labels: labels.clone(),
        severity: rule.severity(),
        from: effect.from,
        to: effect.to,
        for_lack_of_data: effect.for_lack_of_data,
        value,
        summary: rule.summary(labels, value),
        at: now.wall,
    }
}

fn alert(rule: &Rule, labels: &Labels, known: &Known) -> Alert {
    Alert {
        rule: rule.name().to_owned(),
        labels: labels.clone(),
        severity: rule.severity(),
        phase: known.state.phase(),
        since: known.since,
        value: known.value,
        summary: rule.summary(labels, known.value),
    }
}
