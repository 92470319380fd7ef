//! One option for each group, so that the damage is least and the bytes fit: the multiple-choice knapsack problem.
//!
//! First the relaxed problem: take the steps along each group's convex hull in the order of what they save per byte, as a
//! falling Lagrange multiplier would ([Sinha and Zoltners 1979](https://doi.org/10.1287/opre.27.3.503)). All groups but those
//! around the step that no longer fits are then decided almost surely; those few, the *core*, are decided again, exactly, by
//! dynamic programming over what is undominated (Pisinger 1995, "A minimal algorithm for the multiple-choice knapsack
//! problem"; the lists are those of Nemhauser and Ullmann 1969). With no more groups than the core holds the result is the
//! best there is.

/// Groups that are decided exactly.
const CORE: usize = 12;
/// Undominated states kept for each group of the core.
const STATES: usize = 1 << 13;

/// What one choice for a group costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) bytes: u64,
    /// Finite, at least 0.
    pub(super) damage: f64,
}

/// One step along a group's hull: from option `from` to `to`, which is larger and better.
#[derive(Clone, Copy, Debug)]
struct Step {
    group: usize,
    from: usize,
    to: usize,
    /// Damage saved per byte.
    gain: f64,
}

/// A choice for every group: the index of its option.
pub(super) type Picks = Vec<usize>;

/// The best choices found that take at most `budget` bytes, or `None` if none does. Every group has an option.
pub(super) fn solve(groups: &[Vec<Item>], budget: u64) -> Option<Picks> {
    let mut picks = smallest(groups);
    let mut left = budget.checked_sub(total(groups, &picks).bytes)?;
    let steps = steps(groups);
    let mut broken = None;
    for (at, step) in steps.iter().enumerate() {
        let more = groups[step.group][step.to].bytes - groups[step.group][step.from].bytes;
        if picks[step.group] == step.from && more <= left {
            picks[step.group] = step.to;
            left -= more;
        } else {
            broken.get_or_insert(at);
        }
    }
    let Some(broken) = broken else { return Some(picks) };
    let core = core(&steps, broken);
    let better = decide(groups, &picks, &core, budget);
    Some(better.filter(|better| damage(groups, better) < damage(groups, &picks)).unwrap_or(picks))
}

/// The choices along the relaxed problem's path, from the fewest bytes to the least damage, each best for its bytes.
pub(super) fn front(groups: &[Vec<Item>]) -> Vec<(Item, Picks)> {
    let mut picks = smallest(groups);
    let mut front = vec![(total(groups, &picks), picks.clone())];
    for step in steps(groups) {
        picks[step.group] = step.to;
        front.push((total(groups, &picks), picks.clone()));
    }
    front
}

/// Bytes and damage of `picks`.
pub(super) fn total(groups: &[Vec<Item>], picks: &[usize]) -> Item {
    let chosen = || groups.iter().zip(picks).map(|(group, pick)| group[*pick]);
    let bytes = chosen().map(|item| item.bytes).fold(0, u64::saturating_add);
    Item { bytes, damage: chosen().map(|item| item.damage).sum() }
}

fn damage(groups: &[Vec<Item>], picks: &[usize]) -> f64 {
    total(groups, picks).damage
}

fn smallest(groups: &[Vec<Item>]) -> Picks {
    groups.iter().map(|group| undominated(group)[0]).collect()
}

/// The options worth taking, from the smallest to the best: each is better than all that are smaller.
fn undominated(group: &[Item]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (group[a], group[b]);
        a.bytes.cmp(&b.bytes).then(a.damage.total_cmp(&b.damage))
    });
    let mut best = f64::INFINITY;
    order.retain(|&at| {
        let better = group[at].damage < best;
        best = best.min(group[at].damage);
        better
    });
    order
}

/// The undominated options on the lower convex hull: each step saves less per byte than the one before.
fn hull(group: &[Item]) -> Vec<usize> {
    let mut hull: Vec<usize> = Vec::new();
    for at in undominated(group) {
        while let [.., before, last] = hull[..]
            && gain(group[before], group[last]) <= gain(group[last], group[at])
        {
            hull.pop();
        }
        hull.push(at);
    }
    hull
}

fn gain(from: Item, to: Item) -> f64 {
    (from.damage - to.damage) / (to.bytes - from.bytes) as f64
}

/// All groups' steps, those that save most per byte first; a group's own are in order, as its hull is convex.
fn steps(groups: &[Vec<Item>]) -> Vec<Step> {
    let of_group = |(index, group): (usize, &Vec<Item>)| {
        let step = |pair: &[usize]| {
            let (from, to) = (pair[0], pair[1]);
            Step { group: index, from, to, gain: gain(group[from], group[to]) }
        };
        hull(group).windows(2).map(step).collect::<Vec<_>>()
    };
    let mut steps: Vec<Step> = groups.iter().enumerate().flat_map(of_group).collect();
    steps.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    steps
}

/// The groups of the steps nearest to the first that did not fit.
fn core(steps: &[Step], broken: usize) -> Vec<usize> {
    let mut nearest: Vec<usize> = (0..steps.len()).collect();
    nearest.sort_by_key(|at| at.abs_diff(broken));
    let mut core = Vec::new();
    for at in nearest {
        if !core.contains(&steps[at].group) {
            core.push(steps[at].group);
        }
        if core.len() == CORE {
            break;
        }
    }
    core
}

/// What the first groups of the core can take together, and by which option of the last of them.
#[derive(Clone, Copy)]
struct State {
    item: Item,
    option: usize,
    /// The state of the groups before.
    before: usize,
}

/// `picks` with the groups of the `core` decided anew, or `None` if they do not fit.
fn decide(groups: &[Vec<Item>], picks: &[usize], core: &[usize], budget: u64) -> Option<Picks> {
    let others = (0..groups.len())
        .filter(|group| !core.contains(group))
        .map(|group| groups[group][picks[group]].bytes);
    let budget = budget.checked_sub(others.sum())?;
    let smallest = smallest(groups);
    let mut rest: u64 = core.iter().map(|&group| groups[group][smallest[group]].bytes).sum();
    let mut layers: Vec<Vec<State>> = Vec::new();
    let start = vec![State { item: Item { bytes: 0, damage: 0.0 }, option: 0, before: 0 }];
    for &group in core {
        rest -= groups[group][smallest[group]].bytes;
        let states = layers.last().unwrap_or(&start);
        layers.push(extended(states, &groups[group], budget.checked_sub(rest)?));
    }
    let mut at = layers.last()?.len().checked_sub(1)?;
    let mut picks = picks.to_vec();
    for (layer, &group) in layers.iter().zip(core).rev() {
        picks[group] = layer[at].option;
        at = layer[at].before;
    }
    Some(picks)
}

/// The undominated ways to add an option of `group` to one of `states` within `limit` bytes, smallest first, best last.
fn extended(states: &[State], group: &[Item], limit: u64) -> Vec<State> {
    let mut all: Vec<State> = Vec::new();
    for option in undominated(group) {
        let add = |(before, state): (usize, &State)| {
            let bytes = state.item.bytes + group[option].bytes;
            let item = Item { bytes, damage: state.item.damage + group[option].damage };
            State { item, option, before }
        };
        all.extend(states.iter().enumerate().map(add).filter(|state| state.item.bytes <= limit));
    }
    all.sort_by(|a, b| a.item.bytes.cmp(&b.item.bytes).then(a.item.damage.total_cmp(&b.item.damage)));
    let mut best = f64::INFINITY;
    all.retain(|state| {
        let better = state.item.damage < best;
        best = best.min(state.item.damage);
        better
    });
    thinned(all)
}

/// At most [`STATES`] of `states`, evenly chosen; the first, which always fits, and the last, the best, stay.
fn thinned(states: Vec<State>) -> Vec<State> {
    if states.len() <= STATES {
        return states;
    }
    let last = states.len() - 1;
    (0..STATES).map(|at| states[at * last / (STATES - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least damage of all choices that fit.
    fn brute_force(groups: &[Vec<Item>], budget: u64) -> Option<f64> {
        fn search(groups: &[Vec<Item>], left: u64) -> Option<f64> {
            let Some((first, rest)) = groups.split_first() else { return Some(0.0) };
            let with = |item: &Item| Some(item.damage + search(rest, left.checked_sub(item.bytes)?)?);
            first.iter().filter_map(with).min_by(f64::total_cmp)
        }
        search(groups, budget)
    }

    /// Groups of unlike size and sensitivity, whose options have the bits of real types.
    fn groups(most: usize) -> impl Strategy<Value = Vec<Vec<Item>>> {
        const BITS: [f64; 7] = [2.625, 3.4375, 4.5, 5.5, 6.5625, 8.5, 16.0];
        let group = (1_u64..200, 0.01_f64..10.0, prop::collection::vec(0.5_f64..2.0, 1..=7));
        let group = group.prop_map(|(blocks, sensitivity, noise)| {
            let option = |(bits, noise): (&f64, &f64)| Item {
                bytes: (bits * 32.0 * blocks as f64) as u64,
                damage: sensitivity * noise * 4_f64.powf(-bits),
            };
            BITS.iter().zip(&noise).map(option).collect()
        });
        prop::collection::vec(group, 1..=most)
    }

    /// A budget between the smallest and the largest choice.
    fn budget(groups: &[Vec<Item>], share: f64) -> u64 {
        let least: u64 = groups.iter().map(|group| group.iter().map(|item| item.bytes).min().unwrap()).sum();
        let most: u64 = groups.iter().map(|group| group.iter().map(|item| item.bytes).max().unwrap()).sum();
        least + ((most - least) as f64 * share) as u64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn small_problems_are_solved_exactly(groups in groups(6), share in 0.0..1.0) {
            let budget = budget(&groups, share);
            let picks = solve(&groups, budget).unwrap();
            let found = total(&groups, &picks);
            prop_assert!(found.bytes <= budget);
            let best = brute_force(&groups, budget).unwrap();
            prop_assert!(found.damage <= best * (1.0 + 1e-12), "{} {best}", found.damage);
        }

        #[test]
        fn large_problems_fit_and_come_close_to_the_relaxed_bound(groups in groups(120), share in 0.0..1.0) {
            let budget = budget(&groups, share);
            let found = total(&groups, &solve(&groups, budget).unwrap());
            prop_assert!(found.bytes <= budget);
            prop_assert!(found.damage >= bound(&groups, budget) * (1.0 - 1e-9));
            if groups.len() > 60 {
                prop_assert!(found.damage <= bound(&groups, budget) * 1.01);
            }
        }

        #[test]
        fn front_rises_in_bytes_and_falls_in_damage(groups in groups(20)) {
            let front = front(&groups);
            let falls = |a: Item, b: Item| a.bytes < b.bytes && a.damage >= b.damage;
            prop_assert!(front.windows(2).all(|pair| falls(pair[0].0, pair[1].0)));
        }
    }

    /// What no choice can beat: the last step of the relaxed path taken in part.
    fn bound(groups: &[Vec<Item>], budget: u64) -> f64 {
        let front = front(groups);
        let after = front.partition_point(|(item, _)| item.bytes <= budget);
        let last = front[after - 1].0;
        let Some((next, _)) = front.get(after) else { return last.damage };
        last.damage - gain(last, *next) * (budget - last.bytes) as f64
    }

    #[test]
    fn budget_below_the_smallest_choice_has_no_solution() {
        let groups = vec![vec![Item { bytes: 10, damage: 1.0 }]; 3];
        assert_eq!(solve(&groups, 29), None);
        assert_eq!(solve(&groups, 30), Some(vec![0; 3]));
        assert_eq!(solve(&[], 0), Some(vec![]));
    }

    #[test]
    fn what_the_relaxed_path_leaves_over_is_used() {
        let item = |bytes, damage| Item { bytes, damage };
        let groups =
            vec![vec![item(10, 10.0), item(20, 1.0)], vec![item(10, 10.0), item(15, 8.0), item(30, 0.0)]];
        assert_eq!(solve(&groups, 35), Some(vec![1, 1]));
    }
}
