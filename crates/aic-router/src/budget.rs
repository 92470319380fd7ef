//! Budgets in money: what a call may cost is set aside before it is made, and what it did cost is booked after.
//!
//! Windows are fixed and aligned to the Unix epoch, so a budget per day begins anew at midnight UTC, as bills
//! do; around that moment up to two windows' worth may go within one window's length. A call counts in the
//! window in which it began, whenever it ends. Should the clock be put back, the window stays.
//!
//! The books are kept in memory: a process that is started again begins with nothing spent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::scope::{Applicable, Scoped, distinct};
use crate::{Error, NanoUsd, Result, Scope};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The number of accounts above which those of windows gone by are looked for and dropped.
const SWEEP_ABOVE: usize = 1_024;

/// How much money may be spent in a window of time.
///
/// A call is let through if the most it may cost still fits; one whose price is not known does not.
///
/// ```
/// use aic_router::{NanoUsd, SpendLimit};
///
/// let five_dollars_a_day = SpendLimit::new(NanoUsd(5_000_000_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendLimit {
    amount: NanoUsd,
    per: Duration,
}

impl SpendLimit {
    /// At most `amount` per day. With an amount of 0 only what costs nothing is let through.
    pub fn new(amount: NanoUsd) -> Self {
        Self { amount, per: DAY }
    }

    /// The length of the windows, which begin at multiples of it since 1970. Defaults to a day.
    pub fn per(mut self, window: Duration) -> Self {
        self.per = window;
        self
    }

    /// The number of the window that `wall` is in.
    fn window(&self, wall: SystemTime) -> u128 {
        since_epoch(wall).as_nanos() / self.per.as_nanos()
    }

    /// How long until the window of that number is over.
    fn rest(&self, window: u128, wall: SystemTime) -> Duration {
        let end = (window + 1).saturating_mul(self.per.as_nanos());
        Duration::from_nanos_u128(end.saturating_sub(since_epoch(wall).as_nanos()))
    }
}

/// All budgets of a router. Clones share their books.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    limits: Arc<Scoped<SpendLimit>>,
    books: Arc<Mutex<Books>>,
}

impl Budgets {
    /// # Errors
    /// [`Error::Config`] if a scope is stated twice or a window has no length.
    pub(crate) fn new(limits: Vec<(Scope, SpendLimit)>) -> Result<Self> {
        distinct(limits.iter().map(|(scope, _)| scope), "spend limits")?;
        if let Some((scope, _)) = limits.iter().find(|(_, limit)| limit.per.is_zero()) {
            return Err(Error::Config(format!(
                "the spend limit for {scope} is per no time at all; try a day"
            )));
        }
        Ok(Self { limits: Arc::new(Scoped::new(limits)), books: Arc::default() })
    }

    /// Sets `worst`, the most a call may cost, aside in every budget it falls under, or in none.
    ///
    /// `None` where the price is not known, which only a call under no budget may be. What is set aside and
    /// what is spent never exceed a budget together, as long as no call costs more than its worst.
    pub(crate) fn reserve(
        &self,
        provider: &str,
        tenant: Option<&str>,
        worst: Option<NanoUsd>,
        wall: SystemTime,
    ) -> Result<Reservation, OverBudget> {
        let applicable: Vec<_> = self.limits.of(provider, tenant).collect();
        let mut books = self.books.lock();
        let over = applicable.iter().filter_map(|limit| books.over(limit, worst, wall));
        if let Some(over) = over.max_by_key(OverBudget::ends_last) {
            return Err(over);
        }
        let worst = worst.unwrap_or_default();
        let places = applicable.iter().map(|limit| books.set_aside(limit, worst, wall)).collect();
        books.sweep(&self.limits, wall);
        Ok(Reservation { books: self.books.clone(), places, worst })
    }

    /// What a call may cost at most to be let through; `None` where no budget applies.
    pub(crate) fn left(&self, provider: &str, tenant: Option<&str>, wall: SystemTime) -> Option<NanoUsd> {
        let books = self.books.lock();
        self.limits.of(provider, tenant).map(|limit| books.left(&limit, wall)).min()
    }
}

/// An account: a budget's place among all, and the tenant where each has one.
type Account = (usize, String);

/// Where a reservation is booked, and in which window.
type Place = (Account, u128);

#[derive(Debug, Default)]
struct Books {
    accounts: HashMap<Account, Book>,
    sweep_above: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Book {
    window: u128,
    spent: NanoUsd,
    /// Never more than the budget's amount, so it never saturates.
    reserved: NanoUsd,
}

impl Books {
    /// The account's book for the window of `wall`, or the one it has if the clock was put back.
    fn current(&self, limit: &Applicable<'_, SpendLimit>, wall: SystemTime) -> Book {
        let window = limit.rule.window(wall);
        let kept = self.accounts.get(&account(limit)).filter(|book| book.window >= window);
        kept.copied().unwrap_or(Book { window, ..Book::default() })
    }

    fn left(&self, limit: &Applicable<'_, SpendLimit>, wall: SystemTime) -> NanoUsd {
        let book = self.current(limit, wall);
        NanoUsd(limit.rule.amount.0.saturating_sub((book.spent + book.reserved).0))
    }

    /// Why a call may not go under this budget, if so.
    fn over(
        &self,
        limit: &Applicable<'_, SpendLimit>,
        needed: Option<NanoUsd>,
        wall: SystemTime,
    ) -> Option<OverBudget> {
        let left = self.left(limit, wall);
        if needed.is_some_and(|needed| needed <= left) {
            return None;
        }
        let SpendLimit { amount, .. } = *limit.rule;
        let rest = limit.rule.rest(self.current(limit, wall).window, wall);
        let fits_later = needed.is_some_and(|needed| needed <= amount);
        Some(OverBudget { whose: limit.whose(), amount, left, needed, resets_in: fits_later.then_some(rest) })
    }

    fn set_aside(&mut self, limit: &Applicable<'_, SpendLimit>, worst: NanoUsd, wall: SystemTime) -> Place {
        let mut book = self.current(limit, wall);
        book.reserved = book.reserved + worst;
        self.accounts.insert(account(limit), book);
        (account(limit), book.window)
    }

    /// Turns what was set aside into what was spent. A window gone by is no longer kept.
    fn settle(&mut self, (account, window): &Place, worst: NanoUsd, spent: NanoUsd) {
        if let Some(book) = self.accounts.get_mut(account).filter(|book| book.window == *window) {
            book.reserved = NanoUsd(book.reserved.0 - worst.0);
            book.spent = book.spent + spent;
        }
    }

    /// Drops the accounts of windows gone by, whenever their number has doubled.
    fn sweep(&mut self, limits: &Scoped<SpendLimit>, wall: SystemTime) {
        if self.accounts.len() < self.sweep_above.max(SWEEP_ABOVE) {
            return;
        }
        let windows: Vec<_> = limits.iter().map(|(_, limit)| limit.window(wall)).collect();
        self.accounts.retain(|(index, _), book| book.window >= windows[*index]);
        self.accounts.shrink_to(SWEEP_ABOVE);
        self.sweep_above = 2 * self.accounts.len();
    }
}

fn account(limit: &Applicable<'_, SpendLimit>) -> Account {
    (limit.index, limit.account.to_owned())
}

fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Money set aside for one call. Dropped, all of it counts as spent: a provider may have billed the call.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reservation {
    books: Arc<Mutex<Books>>,
    /// Empty once settled.
    places: Vec<Place>,
    worst: NanoUsd,
}

impl Reservation {
    /// Books what the call cost: 0 if it was never made, the worst case where that is not known. A cost
    /// above what was set aside is booked as it is, and may exceed the budget.
    pub(crate) fn settle(mut self, actual: Option<NanoUsd>) {
        self.book(actual.unwrap_or(self.worst));
    }

    fn book(&mut self, spent: NanoUsd) {
        let mut books = self.books.lock();
        for place in std::mem::take(&mut self.places) {
            books.settle(&place, self.worst, spent);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.book(self.worst);
    }
}

/// A budget that a call might exceed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, and {left} of the {amount} for {whose} {}", Needed(*.needed), Left(*.resets_in))]
pub(crate) struct OverBudget {
    /// Whose budget, in words.
    pub(crate) whose: String,
    /// The whole of it.
    pub(crate) amount: NanoUsd,
    /// What is neither spent nor set aside.
    pub(crate) left: NanoUsd,
    /// What the call may cost; `None` where that is not known.
    pub(crate) needed: Option<NanoUsd>,
    /// How long until the call would fit; `None` if it never will.
    pub(crate) resets_in: Option<Duration>,
}

impl OverBudget {
    /// Orders by when the call would fit: never last of all.
    fn ends_last(&self) -> Duration {
        self.resets_in.unwrap_or(Duration::MAX)
    }
}

struct Needed(Option<NanoUsd>);

impl std::fmt::Display for Needed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(needed) => write!(f, "it may cost {needed}"),
            None => f.write_str("what it may cost is not known"),
        }
    }
}

struct Left(Option<Duration>);

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(wait) => write!(f, "is left for the next {wait:.0?}"),
            None => f.write_str("is left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A moment on a UTC midnight, and so much later.
    fn midnight_and(later: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY + later
    }

    fn per_day(limits: &[(Scope, u64)]) -> Budgets {
        let limits = limits.iter().map(|(scope, amount)| (scope.clone(), SpendLimit::new(NanoUsd(*amount))));
        Budgets::new(limits.collect()).unwrap()
    }

    fn reserve(budgets: &Budgets, worst: u64, wall: SystemTime) -> Result<Reservation, OverBudget> {
        budgets.reserve("p", Some("t"), Some(NanoUsd(worst)), wall)
    }

    fn left(budgets: &Budgets, wall: SystemTime) -> u64 {
        budgets.left("p", Some("t"), wall).unwrap().0
    }

    #[test]
    fn worst_case_is_set_aside_and_the_actual_cost_is_booked() {
        let (budgets, noon) = (per_day(&[(Scope::All, 100)]), midnight_and(12 * HOUR));
        let call = reserve(&budgets, 80, noon).unwrap();
        let refused = reserve(&budgets, 30, noon).unwrap_err();

        call.settle(Some(NanoUsd(10)));

        assert_eq!((refused.left, refused.resets_in), (NanoUsd(20), Some(12 * HOUR)));
        assert_eq!(left(&budgets, noon), 90);
        reserve(&budgets, 90, noon).unwrap().settle(Some(NanoUsd(0)));
        assert_eq!(left(&budgets, noon), 90);
    }

    #[test]
    fn call_that_was_dropped_or_whose_cost_is_unknown_counts_in_full() {
        let (budgets, noon) = (per_day(&[(Scope::All, 100)]), midnight_and(12 * HOUR));

        drop(reserve(&budgets, 30, noon).unwrap());
        reserve(&budgets, 30, noon).unwrap().settle(None);

        assert_eq!(left(&budgets, noon), 40);
    }

    #[test]
    fn unknown_price_is_not_free() {
        let budgets = per_day(&[(Scope::Tenant("t".into()), 100)]);

        let refused = budgets.reserve("p", Some("t"), None, midnight_and(HOUR)).unwrap_err();

        assert_eq!((refused.needed, refused.resets_in), (None, None));
        assert_eq!(
            refused.to_string(),
            "what it may cost is not known, and $0.0000001 of the $0.0000001 for tenant `t` is left"
        );
        budgets.reserve("p", None, None, midnight_and(HOUR)).unwrap().settle(None);
    }

    #[test]
    fn call_over_one_budget_sets_nothing_aside_in_the_others() {
        let tenants = (Scope::EachTenant, 50);
        let budgets = per_day(&[(Scope::All, 100), tenants, (Scope::Provider("p".into()), 1_000)]);
        let wall = midnight_and(HOUR);

        let refused = reserve(&budgets, 60, wall).unwrap_err();

        assert_eq!((refused.whose.as_str(), refused.resets_in), ("tenant `t`", None));
        assert_eq!(budgets.left("q", None, wall), Some(NanoUsd(100)));
        assert_eq!(per_day(&[]).left("p", None, wall), None);
    }

    #[test]
    fn new_window_begins_at_midnight_and_keeps_no_debts() {
        let budgets = per_day(&[(Scope::All, 100)]);
        let late = reserve(&budgets, 70, midnight_and(23 * HOUR)).unwrap();
        assert_eq!(left(&budgets, midnight_and(DAY)), 100);

        let early = reserve(&budgets, 50, midnight_and(DAY)).unwrap();
        late.settle(Some(NanoUsd(70)));
        assert_eq!(left(&budgets, midnight_and(DAY)), 50);

        early.settle(Some(NanoUsd(20)));
        assert_eq!(left(&budgets, midnight_and(DAY)), 80);
    }

    #[test]
    fn clock_put_back_gives_nothing_back() {
        let budgets = per_day(&[(Scope::All, 100)]);
        reserve(&budgets, 70, midnight_and(DAY)).unwrap().settle(None);

        let refused = reserve(&budgets, 70, midnight_and(23 * HOUR)).unwrap_err();

        assert_eq!((refused.left, refused.resets_in), (NanoUsd(30), Some(25 * HOUR)));
    }

    #[test]
    fn cost_above_the_worst_case_is_booked_as_it_is() {
        let (budgets, wall) = (per_day(&[(Scope::All, 100)]), midnight_and(HOUR));

        reserve(&budgets, 100, wall).unwrap().settle(Some(NanoUsd(u64::MAX)));

        assert_eq!(left(&budgets, wall), 0);
        reserve(&budgets, 1, wall).unwrap_err();
        reserve(&budgets, 0, wall).unwrap().settle(Some(NanoUsd(0)));
    }

    #[test]
    fn accounts_of_days_gone_by_are_forgotten() {
        let budgets = per_day(&[(Scope::EachTenant, 100)]);

        for call in 0..10 * SWEEP_ABOVE as u32 {
            let (tenant, wall) = (call.to_string(), midnight_and(DAY / 100 * call));
            budgets.reserve("p", Some(&tenant), Some(NanoUsd(1)), wall).unwrap().settle(None);
        }

        assert!(budgets.books.lock().accounts.len() <= SWEEP_ABOVE);
    }

    #[test]
    fn window_without_length_and_scope_stated_twice_are_refused() {
        let limit = SpendLimit::new(NanoUsd(1));

        for limits in [vec![(Scope::All, limit.per(Duration::ZERO))], vec![(Scope::All, limit); 2]] {
            assert!(matches!(Budgets::new(limits), Err(Error::Config(_))));
        }
        let for_ever = Budgets::new(vec![(Scope::All, limit.per(Duration::MAX))]).unwrap();
        drop(reserve(&for_ever, 1, midnight_and(HOUR)).unwrap());
        assert!(reserve(&for_ever, 1, midnight_and(HOUR)).unwrap_err().resets_in > Some(DAY));
    }

    #[test]
    fn threads_together_never_spend_more_than_the_budget() {
        let (budgets, wall) = (per_day(&[(Scope::All, 1_000), (Scope::EachTenant, 400)]), midnight_and(HOUR));
        let spend = |thread: u64| {
            let (mut spent, tenant) = (0, format!("t{}", thread % 2));
            for call in 0..500 {
                let worst = 1 + (call * 7 + thread) % 9;
                let reserved = budgets.reserve("p", Some(&tenant), Some(NanoUsd(worst)), wall);
                let Ok(reservation) = reserved else { continue };
                std::thread::yield_now();
                spent += if call % 3 == 0 { worst } else { worst / 2 };
                reservation.settle((call % 3 != 0).then_some(NanoUsd(worst / 2)));
            }
            spent
        };

        let spent: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || spend(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });

        let of = |tenant: usize| spent.iter().skip(tenant).step_by(2).sum::<u64>();
        assert!(of(0) <= 400 && of(1) <= 400, "{spent:?}");
        // Calls of at most 9 were refused, so less than that is left of each.
        assert!(of(0) > 391 && of(1) > 391, "{spent:?}");
        assert_eq!(budgets.left("p", None, wall), Some(NanoUsd(1_000 - of(0) - of(1))));
    }

    proptest! {
        /// Whatever is reserved, settled and dropped in which order, no window's calls cost more than the budget.
        #[test]
        fn no_order_of_calls_spends_more_than_the_budget(
            steps in proptest::collection::vec((0u8..4, 0u64..60, 0usize..6, 0u64..8), 1..200),
        ) {
            let budgets = per_day(&[(Scope::All, 100)]);
            let (mut wall, mut out) = (midnight_and(Duration::ZERO), Vec::<(Reservation, u64)>::new());
            let mut spent = HashMap::<u64, u64>::new();
            for (action, amount, which, hours) in steps {
                let day = |wall| since_epoch(wall).as_secs() / DAY.as_secs();
                match action {
                    0 => wall += hours as u32 * HOUR,
                    1 => out.extend(reserve(&budgets, amount, wall).ok().map(|reserved| (reserved, day(wall)))),
                    _ if out.is_empty() => {}
                    _ => {
                        let (reserved, day) = out.remove(which % out.len());
                        let worst = reserved.worst.0;
                        let actual = (action == 2).then_some(amount.min(worst));
                        *spent.entry(day).or_default() += actual.unwrap_or(worst);
                        reserved.settle(actual.map(NanoUsd));
                    }
                }
                prop_assert!(spent.values().all(|spent| *spent <= 100), "{:?}", spent);
                let set_aside: u64 =
                    out.iter().filter(|(_, begun)| *begun == day(wall)).map(|(r, _)| r.worst.0).sum();
                let spent = spent.get(&day(wall)).copied().unwrap_or_default();
                prop_assert_eq!(left(&budgets, wall), 100 - spent - set_aside);
            }
        }
    }
}
