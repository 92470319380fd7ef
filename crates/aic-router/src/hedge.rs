//! When a second call may be made beside one that is slow to begin. Pure: it decides, others call.
//!
//! After Dean and Barroso 2013 ("The Tail at Scale", section "Hedged requests"): a second request once the
//! first has taken longer than the 95th percentile, which costs about 5 % more. Two guards are added, for a
//! call here costs money: hedges draw on a budget filled by requests, so that a provider that is slow as a
//! whole is not called twice as often; and there are none while part of the providers is out, when everything
//! is slow and what is left must not be loaded more.

use std::time::Duration;

use crate::{Error, Result};

/// The shortest delay: below it a second call wins nothing that a person notices.
const SHORTEST: Duration = Duration::from_millis(50);

/// When slow requests are sent to a second model.
///
/// Requests with tools are never hedged: two models would both ask for the same thing to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    ratio: f64,
    percentile: f64,
    observations_min: u64,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { ratio: 0.05, percentile: 0.95, observations_min: 20 }
    }
}

impl Hedge {
    /// Hedging with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many hedges there may be for each request, above 0 up to 1. Defaults to 0.05.
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// The share of a model's calls that begin to answer before a hedge would start, 0.5 up to but not
    /// including 1. Defaults to 0.95.
    pub fn percentile(mut self, percentile: f64) -> Self {
        self.percentile = percentile;
        self
    }

    /// How many calls of a model must have been seen before its hedges start. Defaults to 20.
    pub fn observations_min(mut self, calls: u64) -> Self {
        self.observations_min = calls;
        self
    }

    /// # Errors
    /// [`Error::Config`] if a share is outside its range.
    pub(crate) fn check(self) -> Result<Self> {
        let Self { ratio, percentile, .. } = self;
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(Error::Config(format!("{ratio} hedges per request; take a ratio above 0 up to 1")));
        }
        if !(0.5..1.0).contains(&percentile) {
            return Err(Error::Config(format!("hedging at percentile {percentile}; take 0.5 up to 0.99")));
        }
        Ok(self)
    }

    /// The percentile of the first content whose value [`delay`](Self::delay) wants.
    pub(crate) fn at_percentile(&self) -> f64 {
        self.percentile
    }

    /// How long after a call's start a hedge may start if there is no content by then; `None` for no hedge.
    pub(crate) fn delay(&self, seen: Seen) -> Option<Duration> {
        let known = seen.observations >= self.observations_min;
        let allowed = known && !seen.partial_outage && !seen.has_tools;
        seen.first_content.filter(|_| allowed).map(|delay| delay.max(SHORTEST))
    }
}

/// What is known when a call starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The model's time to the first content at the [percentile](Hedge::at_percentile).
    pub(crate) first_content: Option<Duration>,
    /// From how many calls that was learned.
    pub(crate) observations: u64,
    /// Whether a model that could take the request is shut off.
    pub(crate) partial_outage: bool,
    /// Whether the request has tools.
    pub(crate) has_tools: bool,
}

/// A token of the budget, in millionths, so that shares add up exactly.
const TOKEN: u64 = 1_000_000;

/// The most tokens the budget holds: a quiet day must not pay for a storm of hedges.
const TOKENS_MAX: u64 = 10 * TOKEN;

/// What requests put in and hedges take out, after tower's retry budget, but counted instead of timed.
#[derive(Clone, Debug)]
pub(crate) struct HedgeBudget {
    deposit: u64,
    balance: u64,
}

impl HedgeBudget {
    /// An empty budget: the first hedge has to be earned.
    pub(crate) fn new(hedge: &Hedge) -> Self {
        Self { deposit: (hedge.ratio * TOKEN as f64) as u64, balance: 0 }
    }

    /// Counts a request.
    pub(crate) fn deposit(&mut self) {
        self.balance = (self.balance + self.deposit).min(TOKENS_MAX);
    }

    /// Takes the place of one hedge, if there is one.
    pub(crate) fn withdraw(&mut self) -> bool {
        let enough = self.balance >= TOKEN;
        self.balance -= if enough { TOKEN } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen() -> Seen {
        let first_content = Some(3 * SECOND);
        Seen { first_content, observations: 20, partial_outage: false, has_tools: false }
    }

    #[test]
    fn hedge_starts_at_the_percentile() {
        assert_eq!(Hedge::new().delay(seen()), Some(3 * SECOND));
        let quick = Seen { first_content: Some(Duration::ZERO), ..seen() };
        assert_eq!(Hedge::new().delay(quick), Some(SHORTEST));
    }

    #[test]
    fn nothing_is_hedged_that_is_unknown_or_has_tools_or_while_others_are_out() {
        let cases = [
            Seen { first_content: None, ..seen() },
            Seen { observations: 19, ..seen() },
            Seen { partial_outage: true, ..seen() },
            Seen { has_tools: true, ..seen() },
        ];

        for seen in cases {
            assert_eq!(Hedge::new().delay(seen), None, "{seen:?}");
        }
    }

    #[test]
    fn shares_outside_their_range_are_refused() {
        for hedge in [
            Hedge::new().ratio(0.0),
            Hedge::new().ratio(f64::NAN),
            Hedge::new().ratio(1.5),
            Hedge::new().percentile(1.0),
            Hedge::new().percentile(0.1),
        ] {
            assert!(matches!(hedge.check(), Err(Error::Config(_))), "{hedge:?}");
        }
        assert!(Hedge::new().check().is_ok());
    }

    #[test]
    fn twenty_requests_earn_one_hedge_and_a_quiet_day_ten() {
        let mut budget = HedgeBudget::new(&Hedge::new());
        (0..19).for_each(|_| budget.deposit());
        assert!(!budget.withdraw());

        budget.deposit();
        assert!(budget.withdraw() && !budget.withdraw());

        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!((0..20).filter(|_| budget.withdraw()).count(), 10);
    }

    proptest! {
        #[test]
        fn hedges_never_exceed_their_share_of_requests(
            per_mille in 1u64..=1000,
            steps in proptest::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let mut budget = HedgeBudget::new(&Hedge::new().ratio(per_mille as f64 / 1000.0));
            let (mut requests, mut hedges) = (0u64, 0u64);
            for request in steps {
                if request {
                    budget.deposit();
                    requests += 1;
                } else {
                    hedges += u64::from(budget.withdraw());
                }
                prop_assert!(hedges * 1000 <= requests * per_mille);
            }
        }
    }
}
