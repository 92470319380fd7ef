//! The cheapest way to get a number of bytes back.

/// One way in which somebody gives bytes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) bytes: u64,
    /// Never below zero.
    pub(super) cost: f64,
}

/// Nodes after which the search stops with the best it has: far above what a few dozen models need.
const MOST_NODES: u32 = 200_000;

/// Chooses at most one offer of each group such that together they give `need` bytes or more, at the least cost; `None` if all
/// together give less. Returns for each group the place of its offer.
///
/// Depth-first branch and bound. What is still missing costs at least its bytes times the lowest price per byte of the
/// groups that are left.
pub(super) fn cheapest(groups: &[Vec<Offer>], need: u64) -> Option<Vec<Option<usize>>> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|&a, &b| price(&groups[a]).total_cmp(&price(&groups[b])));
    let mut search = Search {
        groups,
        prices: order.iter().map(|&group| price(&groups[group])).collect(),
        left: left(groups, &order),
        order,
        chosen: vec![None; groups.len()],
        best: None,
        nodes: 0,
    };
    search.visit(0, need, 0.0);
    let found = search.best.map(|(_, chosen)| chosen);
    // A search that was cut off before it found anything.
    found.or_else(|| (search.left[0] >= need).then(|| most(groups)))
}

/// The offer that gives most in each group.
pub(super) fn most(groups: &[Vec<Offer>]) -> Vec<Option<usize>> {
    let largest = |offers: &Vec<Offer>| (0..offers.len()).max_by_key(|&offer| offers[offer].bytes);
    groups.iter().map(largest).collect()
}

struct Search<'a> {
    groups: &'a [Vec<Offer>],
    /// Groups by rising price.
    order: Vec<usize>,
    prices: Vec<f64>,
    /// The most that the groups from each place of the order on can give.
    left: Vec<u64>,
    chosen: Vec<Option<usize>>,
    best: Option<(f64, Vec<Option<usize>>)>,
    nodes: u32,
}

impl Search<'_> {
    fn visit(&mut self, depth: usize, need: u64, cost: f64) {
        self.nodes += 1;
        if need == 0 {
            if self.best.as_ref().is_none_or(|(best, _)| cost < *best) {
                self.best = Some((cost, self.chosen.clone()));
            }
            return;
        }
        if self.left[depth] < need || self.nodes > MOST_NODES {
            return;
        }
        let bound = cost + self.prices[depth] * need as f64;
        if self.best.as_ref().is_some_and(|(best, _)| bound >= *best) {
            return;
        }
        let group = self.order[depth];
        for (place, offer) in self.groups[group].iter().enumerate() {
            self.chosen[group] = Some(place);
            self.visit(depth + 1, need.saturating_sub(offer.bytes), cost + offer.cost);
        }
        self.chosen[group] = None;
        self.visit(depth + 1, need, cost);
    }
}

fn price(offers: &[Offer]) -> f64 {
    let prices = offers.iter().map(|offer| offer.cost / offer.bytes.max(1) as f64);
    prices.min_by(f64::total_cmp).unwrap_or(f64::INFINITY)
}

fn left(groups: &[Vec<Offer>], order: &[usize]) -> Vec<u64> {
    let mut left = vec![0_u64; order.len() + 1];
    for (at, &group) in order.iter().enumerate().rev() {
        let largest = groups[group].iter().map(|offer| offer.bytes).max().unwrap_or(0);
        left[at] = left[at + 1].saturating_add(largest);
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(bytes: u64, cost: f64) -> Offer {
        Offer { bytes, cost }
    }

    #[test]
    fn set_that_costs_least_is_not_always_the_cheapest_by_the_byte() {
        let groups = [vec![offer(60, 6.0)], vec![offer(100, 11.0)], vec![offer(50, 5.5)]];
        assert_eq!(cheapest(&groups, 100), Some(vec![None, Some(0), None]));
        assert_eq!(cheapest(&groups, 110), Some(vec![Some(0), None, Some(0)]));
        assert_eq!(cheapest(&groups, 211), None);
        assert_eq!(cheapest(&groups, 0), Some(vec![None; 3]));
    }

    #[test]
    fn small_gift_of_a_group_is_taken_in_the_place_of_its_large_one() {
        let groups = [vec![offer(10, 0.1), offer(100, 9.0)], vec![offer(40, 2.0)]];
        assert_eq!(cheapest(&groups, 50), Some(vec![Some(0), Some(0)]));
        assert_eq!(most(&groups), [Some(1), Some(0)]);
    }

    /// Every choice there is.
    fn brute(groups: &[Vec<Offer>], need: u64) -> Option<f64> {
        let Some((first, rest)) = groups.split_first() else { return (need == 0).then_some(0.0) };
        let none = brute(rest, need);
        let some = first
            .iter()
            .filter_map(|offer| Some(brute(rest, need.saturating_sub(offer.bytes))? + offer.cost));
        none.into_iter().chain(some).min_by(f64::total_cmp)
    }

    proptest! {
        #[test]
        fn nothing_is_cheaper(
            sizes in proptest::collection::vec(proptest::collection::vec((1_u64..100, 0_u32..50), 0..4), 0..6),
            need in 0_u64..300,
        ) {
            let groups: Vec<Vec<Offer>> = sizes
                .iter()
                .map(|offers| offers.iter().map(|&(bytes, cost)| offer(bytes, f64::from(cost))).collect())
                .collect();
            let found = cheapest(&groups, need);
            let chosen = found.iter().flatten().zip(&groups);
            let taken: Vec<Offer> = chosen.filter_map(|(place, offers)| Some(offers[(*place)?])).collect();
            let cost = found.is_some().then(|| taken.iter().map(|offer| offer.cost).sum::<f64>());
            prop_assert_eq!(cost, brute(&groups, need));
            prop_assert!(found.is_none() || taken.iter().map(|offer| offer.bytes).sum::<u64>() >= need);
        }
    }
}
