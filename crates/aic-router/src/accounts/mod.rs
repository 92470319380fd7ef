//! Who spent what: sums over calls, and the file they are kept in from run to run.

mod file;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::file::Saved;
use crate::{NanoUsd, Task, Usage};

/// The most tenants, and the most models, that are told apart.
const NAMES_MAX: usize = 1000;
/// The longest name that is kept.
const NAME_BYTES_MAX: usize = 256;
/// Under which name the rest is booked.
const OTHERS: &str = "(others)";

/// What calls used and cost, by provider, model, task and tenant.
///
/// Sums are whole numbers and exact. Memory is bounded: after a thousand tenants, or models, new ones are booked
/// together as `(others)`, as are names longer than 256 bytes.
///
/// Printed, it is a table; [`save`](Self::save)d, it adds up over runs and programs.
///
/// ```
/// use aic_router::{Accounts, Booking, NanoUsd, Task, Usage};
///
/// let mut accounts = Accounts::default();
/// accounts.book(&Booking {
///     provider: "openai",
///     model: "gpt-5.5",
///     task: Task::Code,
///     tenant: Some("kitchen"),
///     usage: Some(Usage { input: 1_000, output: 200, ..Usage::default() }),
///     cost: Some(NanoUsd(11_000_000)),
///     estimated: false,
/// });
/// assert_eq!(accounts.total().cost.to_string(), "$0.011");
/// assert_eq!(accounts.by_task()[0].0, Task::Code);
/// println!("{accounts}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// By provider, model and task.
    models: BTreeMap<String, BTreeMap<String, BTreeMap<Task, Totals>>>,
    tenants: BTreeMap<String, Totals>,
    /// What was for nobody in particular.
    no_tenant: Totals,
}

/// One call that came to its end, well or not.
#[derive(Clone, Copy, Debug)]
pub struct Booking<'a> {
    /// Who was called.
    pub provider: &'a str,
    /// With which model.
    pub model: &'a str,
    /// For what kind of work.
    pub task: Task,
    /// For whom; `None` for nobody in particular.
    pub tenant: Option<&'a str>,
    /// What it used; `None` where that is unknown, or nothing.
    pub usage: Option<Usage>,
    /// What it cost; `None` where that is unknown. A call that was refused costs `Some` of nothing.
    pub cost: Option<NanoUsd>,
    /// Whether usage and cost are estimates, as of a call that was dropped before its end.
    pub estimated: bool,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Totals {
    /// Calls made.
    pub calls: u64,
    /// Tokens read, those below included.
    pub input: u64,
    /// Tokens read from providers' prompt caches, where they said.
    pub cached_input: u64,
    /// Tokens written to providers' prompt caches, where they said.
    pub cache_write_input: u64,
    /// Tokens written, those for reasoning included.
    pub output: u64,
    /// Tokens written for reasoning, where providers said.
    pub reasoning: u64,
    /// Money spent, as far as it is known.
    pub cost: NanoUsd,
    /// The part of `cost` that is estimated.
    pub estimated_cost: NanoUsd,
    /// Calls whose cost is unknown, and not in `cost`.
    pub unpriced: u64,
}

impl Accounts {
    /// Books a call. Takes well under a microsecond, and no memory but for names not seen before.
    pub fn book(&mut self, booking: &Booking<'_>) {
        let totals = Totals::of(booking);
        self.model(booking.provider, booking.model, booking.task).add(&totals);
        self.tenant(booking.tenant).add(&totals);
    }

    /// Adds what is in `other`.
    pub fn merge(&mut self, other: &Self) {
        for (provider, model, task, totals) in other.rows() {
            self.model(provider, model, task).add(totals);
        }
        for (tenant, totals) in &other.tenants {
            self.tenant(Some(tenant)).add(totals);
        }
        self.no_tenant.add(&other.no_tenant);
    }

    /// What was booked after `earlier`, which is an older copy of these accounts.
    ///
    /// A program that runs for long keeps the copy it saved last, and saves the difference.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = Self::default();
        for (provider, model, task, totals) in self.rows() {
            let before = earlier.models.get(provider).and_then(|m| m.get(model)).and_then(|t| t.get(&task));
            if let Some(more) = totals.since(before) {
                *rest.model(provider, model, task) = more;
            }
        }
        for (tenant, totals) in &self.tenants {
            if let Some(more) = totals.since(earlier.tenants.get(tenant)) {
                *rest.tenant(Some(tenant)) = more;
            }
        }
        rest.no_tenant = self.no_tenant.since(Some(&earlier.no_tenant)).unwrap_or_default();
        rest
    }

    /// Everything.
    pub fn total(&self) -> Totals {
        let mut total = Totals::default();
        self.rows().for_each(|(.., totals)| total.add(totals));
        total
    }

    /// By provider, the dearest first.
    pub fn by_provider(&self) -> Vec<(&str, Totals)> {
        grouped(self.rows().map(|(provider, _, _, totals)| (provider, totals)))
    }

    /// By provider and model, the dearest first.
    pub fn by_model(&self) -> Vec<((&str, &str), Totals)> {
        grouped(self.rows().map(|(provider, model, _, totals)| ((provider, model), totals)))
    }

    /// By task, the dearest first.
    pub fn by_task(&self) -> Vec<(Task, Totals)> {
        grouped(self.rows().map(|(_, _, task, totals)| (task, totals)))
    }

    /// By tenant, the dearest first; what was for nobody in particular is under `None`.
    pub fn by_tenant(&self) -> Vec<(Option<&str>, Totals)> {
        let named = self.tenants.iter().map(|(tenant, totals)| (Some(tenant.as_str()), totals));
        let nobody = (self.no_tenant.calls > 0).then_some((None, &self.no_tenant));
        grouped(named.chain(nobody))
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &str, Task, &Totals)> {
        self.models.iter().flat_map(|(provider, models)| {
            models.iter().flat_map(move |(model, tasks)| {
                tasks.iter().map(move |(task, totals)| (provider.as_str(), model.as_str(), *task, totals))
            })
        })
    }

    fn model(&mut self, provider: &str, model: &str, task: Task) -> &mut Totals {
        let known = self.models.get(provider).is_some_and(|models| models.contains_key(model));
        let (provider, model) =
            if known || self.has_room(provider, model) { (provider, model) } else { (OTHERS, OTHERS) };
        slot(slot(&mut self.models, provider), model).entry(task).or_default()
    }

    fn has_room(&self, provider: &str, model: &str) -> bool {
        let fits = provider.len() <= NAME_BYTES_MAX && model.len() <= NAME_BYTES_MAX;
        fits && self.models.values().map(BTreeMap::len).sum::<usize>() < NAMES_MAX
    }

    fn tenant(&mut self, tenant: Option<&str>) -> &mut Totals {
        let Some(tenant) = tenant else { return &mut self.no_tenant };
        let has_room = tenant.len() <= NAME_BYTES_MAX && self.tenants.len() < NAMES_MAX;
        let name = if has_room || self.tenants.contains_key(tenant) { tenant } else { OTHERS };
        slot(&mut self.tenants, name)
    }
}

/// The value under `name`; the name is copied only where it is new.
fn slot<'a, V: Default>(map: &'a mut BTreeMap<String, V>, name: &str) -> &'a mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.get_mut(name).expect("it was there or has just been put there")
}

fn grouped<'a, K: Ord + Copy>(rows: impl Iterator<Item = (K, &'a Totals)>) -> Vec<(K, Totals)> {
    let mut groups: BTreeMap<K, Totals> = BTreeMap::new();
    for (key, totals) in rows {
        groups.entry(key).or_default().add(totals);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, totals)| std::cmp::Reverse((totals.cost, totals.calls)));
    groups
}

impl Totals {
    fn of(booking: &Booking<'_>) -> Self {
        let usage = booking.usage.unwrap_or_default();
        let cost = booking.cost.unwrap_or_default();
        Self {
            calls: 1,
            input: usage.input,
            cached_input: usage.cached_input.unwrap_or(0),
            cache_write_input: usage.cache_write_input.unwrap_or(0),
            output: usage.output,
            reasoning: usage.reasoning.unwrap_or(0),
            cost,
            estimated_cost: if booking.estimated { cost } else { NanoUsd::default() },
            unpriced: u64::from(booking.cost.is_none()),
        }
    }

    fn add(&mut self, other: &Self) {
        *self = self.with(other, u64::saturating_add);
    }

    /// What was added after `before`; `None` where nothing was.
    fn since(&self, before: Option<&Self>) -> Option<Self> {
        let more = before.map_or(*self, |before| self.with(before, u64::saturating_sub));
        (more != Self::default()).then_some(more)
    }

    fn with(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            calls: op(self.calls, other.calls),
            input: op(self.input, other.input),
            cached_input: op(self.cached_input, other.cached_input),
            cache_write_input: op(self.cache_write_input, other.cache_write_input),
            output: op(self.output, other.output),
            reasoning: op(self.reasoning, other.reasoning),
            cost: NanoUsd(op(self.cost.0, other.cost.0)),
            estimated_cost: NanoUsd(op(self.estimated_cost.0, other.estimated_cost.0)),
            unpriced: op(self.unpriced, other.unpriced),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn booking<'a>(model: &'a str, tenant: Option<&'a str>, cost: Option<u64>) -> Booking<'a> {
        let usage = Usage { input: 100, cached_input: Some(40), output: 10, ..Usage::default() };
        Booking {
            provider: "openai",
            model,
            task: Task::Code,
            tenant,
            usage: Some(usage),
            cost: cost.map(NanoUsd),
            estimated: false,
        }
    }

    #[test]
    fn call_of_unknown_cost_is_counted_as_such_and_not_as_free() {
        let mut accounts = Accounts::default();
        accounts.book(&booking("m", None, Some(5)));
        accounts.book(&booking("m", None, None));

        let total = accounts.total();

        assert_eq!((total.calls, total.cost, total.unpriced), (2, NanoUsd(5), 1));
        assert_eq!((total.input, total.cached_input, total.output), (200, 80, 20));
    }

    #[test]
    fn estimates_are_told_from_what_was_measured() {
        let mut accounts = Accounts::default();
        accounts.book(&booking("m", None, Some(5)));
        accounts.book(&Booking { estimated: true, ..booking("m", None, Some(3)) });

        let total = accounts.total();

        assert_eq!((total.cost, total.estimated_cost), (NanoUsd(8), NanoUsd(3)));
    }

    #[test]
    fn tenants_beyond_the_bound_are_booked_together() {
        let mut accounts = Accounts::default();
        for number in 0..NAMES_MAX + 50 {
            accounts.book(&booking(&format!("m{number}"), Some(&format!("t{number}")), Some(1)));
        }
        accounts.book(&booking("m0", Some(&"long".repeat(100)), Some(1)));

        assert_eq!(accounts.tenants.len(), NAMES_MAX + 1);
        assert_eq!(accounts.tenants[OTHERS].calls, 51);
        assert_eq!(accounts.models[OTHERS][OTHERS][&Task::Code].calls, 50);
        assert_eq!(accounts.total().calls, NAMES_MAX as u64 + 51);
    }

    /// Indexes of provider, model, task and tenant; cost, tokens, and whether they are estimates.
    type Call = (usize, usize, usize, usize, Option<u32>, u32, bool);

    fn any_booking() -> impl Strategy<Value = Call> {
        (0..3usize, 0..3usize, 0..3usize, 0..4usize, any::<Option<u32>>(), any::<u32>(), any::<bool>())
    }

    fn booked(calls: &[Call]) -> Accounts {
        let mut accounts = Accounts::default();
        for (provider, model, task, tenant, cost, tokens, estimated) in calls {
            let input = u64::from(*tokens);
            accounts.book(&Booking {
                provider: ["a", "b", "c"][*provider],
                model: ["x", "y", "z"][*model],
                task: [Task::Code, Task::Summary, Task::General][*task],
                tenant: [None, Some("s"), Some("t"), Some("u")][*tenant],
                usage: Some(Usage { input, output: input / 2, ..Usage::default() }),
                cost: cost.map(|cost| NanoUsd(cost.into())),
                estimated: *estimated,
            });
        }
        accounts
    }

    fn sum<K>(groups: &[(K, Totals)]) -> Totals {
        let mut sum = Totals::default();
        groups.iter().for_each(|(_, totals)| sum.add(totals));
        sum
    }

    proptest! {
        #[test]
        fn every_way_to_group_has_the_same_exact_sum(calls in prop::collection::vec(any_booking(), 0..60)) {
            let accounts = booked(&calls);
            let total = accounts.total();

            let spent: u64 = calls.iter().filter_map(|call| call.4).map(u64::from).sum();
            prop_assert_eq!((total.calls, total.cost), (calls.len() as u64, NanoUsd(spent)));
            prop_assert_eq!(sum(&accounts.by_provider()), total);
            prop_assert_eq!(sum(&accounts.by_model()), total);
            prop_assert_eq!(sum(&accounts.by_task()), total);
            prop_assert_eq!(sum(&accounts.by_tenant()), total);
        }

        #[test]
        fn earlier_part_and_the_rest_make_the_whole(
            calls in prop::collection::vec(any_booking(), 0..60), at in any::<prop::sample::Index>(),
        ) {
            let whole = booked(&calls);
            let mut earlier = booked(&calls[..at.index(calls.len() + 1)]);

            let rest = whole.since(&earlier);
            earlier.merge(&rest);

            prop_assert_eq!(earlier, whole);
        }

        #[test]
        fn accounts_survive_a_json_round_trip(calls in prop::collection::vec(any_booking(), 0..20)) {
            let accounts = booked(&calls);

            let json = serde_json::to_string(&accounts).unwrap();

            prop_assert_eq!(serde_json::from_str::<Accounts>(&json).unwrap(), accounts);
        }
    }
}
