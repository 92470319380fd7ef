//! The one optimisation behind every choice: least expected cost among those that meet a goal.

use std::cmp::Ordering;
use std::time::Duration;

use crate::{Constraints, NanoUsd, Priority, Refusal};

/// How far below the best one's quality is as good.
const NEARLY_BEST: f64 = 0.02;
/// How many times the quickest one's p95 is as quick.
const NEARLY_QUICKEST: f64 = 1.25;
/// The quality below which neither speed nor a low price is worth anything: more often right than wrong.
const USABLE: f64 = 0.5;

/// What is expected of one model for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// The chance of a good answer.
    pub(crate) quality: f64,
    /// The 95th percentile of the whole answer's time.
    pub(crate) p95: Duration,
    /// What one answer costs; `None` where unknown.
    pub(crate) price: Option<NanoUsd>,
    /// The same with what a failed call and its retry elsewhere cost.
    pub(crate) expected: Option<NanoUsd>,
}

/// The goal a priority stands for, given the models that may take the request now.
pub(crate) fn goal<'a>(priority: Priority, models: impl Iterator<Item = &'a Figures> + Clone) -> Constraints {
    let best = models.clone().map(|model| model.quality).fold(0.0, f64::max);
    let usable = models.clone().filter(|model| model.quality >= USABLE).map(|model| model.p95).min();
    let quickest = usable.or_else(|| models.map(|model| model.p95).min());
    match priority {
        Priority::Quality => {
            Constraints { quality_min: Some((best - NEARLY_BEST).max(0.0)), ..Constraints::default() }
        }
        Priority::Cost => Constraints { quality_min: Some(USABLE), ..Constraints::default() },
        Priority::Speed => Constraints {
            quality_min: Some(USABLE),
            latency_p95_max: quickest.map(|p95| seconds(p95.as_secs_f64() * NEARLY_QUICKEST)),
            cost_max: None,
        },
    }
}

/// Why `model` breaks a hard constraint, with the numbers.
pub(crate) fn refusal(constraints: &Constraints, model: &Figures) -> Option<Refusal> {
    let Figures { quality, p95, price, .. } = *model;
    let quality_min = constraints.quality_min.filter(|min| quality < *min);
    let latency_p95_max = constraints.latency_p95_max.filter(|max| p95 > *max);
    let cost_max = constraints.cost_max.filter(|max| price.is_none_or(|price| price > *max));
    quality_min
        .map(|quality_min| Refusal::NotGoodEnough { quality, quality_min })
        .or(latency_p95_max.map(|latency_p95_max| Refusal::TooSlow { p95, latency_p95_max }))
        .or(cost_max.map(|cost_max| Refusal::TooDear { cost: price, cost_max }))
}

/// How far `model` misses `goal`, as the sum of what it misses each bound by, relative to the bound; 0 where
/// it meets all of them.
pub(crate) fn violation(goal: &Constraints, model: &Figures) -> f64 {
    let over = |value: f64, max: f64| (value / max - 1.0).max(0.0);
    let cost = |max: NanoUsd| model.price.map_or(f64::INFINITY, |price| over(price.dollars(), max.dollars()));
    goal.quality_min.map_or(0.0, |min| (1.0 - model.quality / min).max(0.0))
        + goal.latency_p95_max.map_or(0.0, |max| over(model.p95.as_secs_f64(), max.as_secs_f64()))
        + goal.cost_max.map_or(0.0, cost)
}

/// Which of two models goes first, each with how far it misses the goal; equal ones keep their order.
pub(crate) fn compare(left: (f64, &Figures), right: (f64, &Figures)) -> Ordering {
    left.0.total_cmp(&right.0).then_with(|| value(left.1, right.1))
}

/// Least cost first, unknown last; then the better; then the quicker.
fn value(left: &Figures, right: &Figures) -> Ordering {
    let cost = |model: &Figures| (model.expected.is_none(), model.expected);
    cost(left).cmp(&cost(right)).then(right.quality.total_cmp(&left.quality)).then(left.p95.cmp(&right.p95))
}

/// So many seconds, at most as many as a duration has.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(quality: f64, seconds: u64, nano: Option<u64>) -> Figures {
        let price = nano.map(NanoUsd);
        Figures { quality, p95: Duration::from_secs(seconds), price, expected: price }
    }

    fn order(goal: &Constraints, left: &Figures, right: &Figures) -> Ordering {
        compare((violation(goal, left), left), (violation(goal, right), right))
    }

    fn first(priority: Priority, models: &[Figures]) -> usize {
        let goal = goal(priority, models.iter());
        (0..models.len()).min_by(|a, b| order(&goal, &models[*a], &models[*b])).unwrap()
    }

    #[test]
    fn presets_choose_as_their_names_say() {
        use Priority::{Cost, Quality, Speed};
        let (tiny, cheap, good) =
            (model(0.3, 1, Some(0)), model(0.75, 8, Some(100)), model(0.93, 20, Some(5_000)));
        let cheaper_and_as_good = model(0.92, 30, Some(4_000));
        let unknown = model(0.95, 2, None);
        let (free_8b, free_70b) = (model(0.7, 10, Some(0)), model(0.8, 60, Some(0)));
        for (priority, models, index) in [
            (Quality, &[tiny, cheap, good][..], 2),
            (Quality, &[good, cheaper_and_as_good], 1),
            (Quality, &[good, unknown], 0),
            (Quality, &[cheap, unknown], 1),
            (Speed, &[tiny, cheap, good], 1),
            (Speed, &[good, model(0.93, 24, Some(10))], 1),
            (Speed, &[tiny, model(0.3, 2, Some(0))], 0),
            (Cost, &[tiny, cheap, good], 1),
            (Cost, &[tiny], 0),
            (Cost, &[good, free_8b], 1),
            (Cost, &[good, unknown], 0),
            (Cost, &[free_8b, free_70b], 1),
            (Cost, &[tiny, model(0.4, 90, Some(7))], 1),
        ] {
            assert_eq!(first(priority, models), index, "{priority} {models:?}");
        }
    }

    #[test]
    fn hard_constraints_refuse_with_both_numbers() {
        let dear = model(0.6, 10, Some(500));
        let seconds = Duration::from_secs;
        let none = Constraints::default();
        for (constraints, expected) in [
            (none, None),
            (
                Constraints { quality_min: Some(0.7), ..none },
                Some(Refusal::NotGoodEnough { quality: 0.6, quality_min: 0.7 }),
            ),
            (
                Constraints { latency_p95_max: Some(seconds(5)), ..none },
                Some(Refusal::TooSlow { p95: seconds(10), latency_p95_max: seconds(5) }),
            ),
            (
                Constraints { cost_max: Some(NanoUsd(499)), ..none },
                Some(Refusal::TooDear { cost: Some(NanoUsd(500)), cost_max: NanoUsd(499) }),
            ),
            (Constraints { cost_max: Some(NanoUsd(500)), ..none }, None),
        ] {
            assert_eq!(refusal(&constraints, &dear), expected);
        }
        let free = Constraints { cost_max: Some(NanoUsd(0)), ..none };
        assert!(refusal(&free, &model(0.5, 1, None)).is_some(), "an unknown price is not free");
        assert_eq!(refusal(&free, &model(0.5, 1, Some(0))), None);
    }

    fn any_model() -> impl Strategy<Value = Figures> {
        // Few distinct values, so that ties are common.
        (0u8..12, 0u64..12, proptest::option::of(0u64..8))
            .prop_map(|(quality, seconds, nano)| model(f64::from(quality) / 12.0, seconds, nano))
    }

    fn any_goal() -> impl Strategy<Value = Constraints> {
        let options = proptest::option::of;
        (proptest::option::of(0.0..1.0), options(0u64..12), options(0u64..8)).prop_map(
            |(quality_min, seconds, nano)| {
                let latency_p95_max = seconds.map(Duration::from_secs);
                Constraints { quality_min, latency_p95_max, cost_max: nano.map(NanoUsd) }
            },
        )
    }

    fn best_of(goal: &Constraints, models: &[Figures]) -> Figures {
        *models.iter().min_by(|a, b| order(goal, a, b)).unwrap()
    }

    /// At least as good in everything and better in something.
    fn dominates(left: &Figures, right: &Figures) -> bool {
        let cost = |model: &Figures| model.expected.map_or(u64::MAX, |cost| cost.0);
        let as_good = left.quality >= right.quality && left.p95 <= right.p95 && cost(left) <= cost(right);
        as_good && left != right
    }

    proptest! {
        #[test]
        fn first_is_never_dominated(
            goal in any_goal(), models in proptest::collection::vec(any_model(), 1..8),
        ) {
            let first = best_of(&goal, &models);

            prop_assert!(!models.iter().any(|other| dominates(other, &first)), "{first:?} of {models:?}");
        }

        #[test]
        fn presets_never_choose_a_dominated_model(
            priority in prop_oneof![Just(Priority::Quality), Just(Priority::Speed), Just(Priority::Cost)],
            models in proptest::collection::vec(any_model(), 1..8),
        ) {
            let first = models[first(priority, &models)];

            prop_assert!(!models.iter().any(|other| dominates(other, &first)), "{first:?} of {models:?}");
        }

        #[test]
        fn order_is_total(goal in any_goal(), a in any_model(), b in any_model(), c in any_model()) {
            let order = |left, right| order(&goal, left, right);

            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert!(!(order(&a, &b).is_le() && order(&b, &c).is_le()) || order(&a, &c).is_le());
            prop_assert!(order(&a, &b).is_ne() || a == b);
        }

        #[test]
        fn another_model_never_makes_the_choice_dearer_under_the_same_goal(
            goal in any_goal(), models in proptest::collection::vec(any_model(), 1..8), more in any_model(),
        ) {
            let before = best_of(&goal, &models);
            let after = best_of(&goal, &[models, vec![more]].concat());

            let cost = |model: &Figures| model.expected.map_or(u64::MAX, |cost| cost.0);
            let both_meet = violation(&goal, &before) == 0.0 && violation(&goal, &after) == 0.0;
            prop_assert!(!both_meet || cost(&after) <= cost(&before));
            prop_assert!(violation(&goal, &after) <= violation(&goal, &before));
        }

        #[test]
        fn what_meets_the_constraints_is_exactly_what_is_not_refused(goal in any_goal(), model in any_model()) {
            prop_assert_eq!(violation(&goal, &model) == 0.0, refusal(&goal, &model).is_none());
        }
    }
}
