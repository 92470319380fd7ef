//! How much the model suffers from the error of each group.
use std::collections::BTreeMap;

use super::group::Group;
use super::measurements::Measurements;
use crate::TensorInfo;

/// Damages below this are rounding.
const LEAST: f64 = 1e-9;

/// How much more the weights count that a fixed mixture favours, when nothing was measured: between 1 and 17, at which the two
/// bits more that it gives them would be right.
const FAVOUR: f64 = 8.0;

/// The damage to the model for each unit of a group's relative error.
///
/// The damage of small changes adds up, each in proportion to its relative error ([Malinovskii et al.
/// 2024](https://arxiv.org/abs/2411.17525), the linearity theorem), so one measurement of a group tells its factor. The
/// factors of the others are [estimated](Estimate) from those. With nothing measured at all, weights that llama.cpp's `Q4_K_M`
/// gives more bits count [`FAVOUR`] times as much as the others: `favoured` says which tensors these are.
pub(super) fn sensitivities(
    groups: &[Group],
    tensors: &[TensorInfo],
    measured: &Measurements,
    favoured: &[bool],
) -> Vec<f64> {
    let own: Vec<Option<f64>> = groups.iter().map(|group| of_group(group, tensors, measured)).collect();
    let known = groups.iter().zip(&own).filter_map(|(group, factor)| Some((group, (*factor)?.ln())));
    let Some(estimate) = Estimate::new(known.collect()) else {
        let prior = |group: &Group| if group.members.iter().any(|&at| favoured[at]) { FAVOUR } else { 1.0 };
        return groups.iter().map(prior).collect();
    };
    groups
        .iter()
        .zip(&own)
        .map(|(group, factor)| factor.unwrap_or_else(|| estimate.of(group).exp()))
        .collect()
}

fn of_group(group: &Group, tensors: &[TensorInfo], measured: &Measurements) -> Option<f64> {
    let probe = group.probe(tensors, measured)?;
    let damage = measured.damage(&group.name, probe[0])?;
    Some(damage.max(LEAST) / group.error(tensors, probe, measured))
}

/// The logarithm of a group's factor as a level for its role and a slope over the layers, the same for all roles: least
/// squares with fixed effects.
struct Estimate<'a> {
    /// Mean layer and mean logarithm of each role measured.
    roles: BTreeMap<&'a str, (f64, f64)>,
    /// The same of everything measured, for other roles.
    all: (f64, f64),
    slope: f64,
}

impl<'a> Estimate<'a> {
    /// From groups and the logarithms of their factors; `None` without any.
    fn new(known: Vec<(&'a Group, f64)>) -> Option<Self> {
        let mut by_role: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for (group, factor) in &known {
            by_role.entry(&group.role).or_default().push((group.layer, *factor));
        }
        let all = mean(by_role.values().flatten().copied())?;
        let roles: BTreeMap<_, _> = by_role
            .iter()
            .filter_map(|(role, points)| Some((*role, mean(points.iter().copied())?)))
            .collect();
        let (mut together, mut spread) = (0.0, 0.0);
        for (group, factor) in known {
            let (layer, level) = roles[group.role.as_str()];
            together += (group.layer - layer) * (factor - level);
            spread += (group.layer - layer).powi(2);
        }
        let slope = if spread > 0.0 { together / spread } else { 0.0 };
        Some(Self { roles, all, slope })
    }

    fn of(&self, group: &Group) -> f64 {
        let (layer, level) = self.roles.get(group.role.as_str()).unwrap_or(&self.all);
        level + self.slope * (group.layer - layer)
    }
}

/// The means of both numbers; `None` of nothing.
fn mean(points: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (count, a, b) = points.fold((0, 0.0, 0.0), |(n, a, b), (x, y)| (n + 1, a + x, b + y));
    (count > 0).then(|| (a / f64::from(count), b / f64::from(count)))
}

/// The order in which groups are measured, so that any number of them tells as much as it can of the others: a middle layer of
/// every role, then the first of every role, the last, and so on into the widest gaps.
pub(super) fn order(groups: &[Group]) -> Vec<usize> {
    let mut roles: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        roles.entry(&group.role).or_default().push(index);
    }
    let mut ranked: Vec<(usize, usize)> = Vec::new();
    for mut members in roles.into_values() {
        members.sort_by(|&a, &b| groups[a].layer.total_cmp(&groups[b].layer));
        ranked.extend(spread(members.len()).into_iter().map(|at| members[at]).enumerate());
    }
    ranked.sort();
    ranked.into_iter().map(|(_, group)| group).collect()
}

/// The numbers below `count`: the middle, the ends, and then always the middle of a widest gap.
fn spread(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut add = |at: usize| {
        if at < count && !order.contains(&at) {
            order.push(at);
        }
    };
    let last = count.saturating_sub(1);
    [last / 2, 0, last].into_iter().for_each(&mut add);
    let mut gap = count.next_power_of_two() / 2;
    while gap > 0 {
        (gap / 2..count).step_by(gap).for_each(&mut add);
        gap /= 2;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::recipe::Rules;

    fn setting() -> (Vec<TensorInfo>, Vec<Group>, Measurements) {
        let names =
            ["blk.0.attn_v.weight", "blk.1.attn_v.weight", "blk.2.attn_v.weight", "blk.0.ffn_up.weight"];
        let tensor = |name: &&str| TensorInfo::new(*name, &[8, 256], DType::F16).unwrap();
        let tensors: Vec<TensorInfo> = names.iter().map(tensor).collect();
        let groups = Group::all(&tensors, &Rules::default(), &[DType::Q8_0, DType::Q4_K], false);
        let mut measured = Measurements::default();
        for (name, error) in names.iter().zip([0.01, 0.02, 0.04, 0.01]) {
            measured.add_errors(name, [(DType::Q8_0, error / 100.0), (DType::Q4_K, error)].into_iter());
        }
        (tensors, groups, measured)
    }

    #[test]
    fn nothing_measured_leaves_the_usual_mixtures_favour() {
        let (tensors, groups, measured) = setting();
        let factors = sensitivities(&groups, &tensors, &measured, &[true, false, false, true]);
        assert_eq!(factors, [FAVOUR, 1.0, 1.0, FAVOUR]);
    }

    #[test]
    fn unmeasured_groups_are_estimated_from_role_and_layer() {
        let (tensors, groups, mut measured) = setting();
        // Factors of 8 in layer 0 and 2 in layer 2: half as much with each layer.
        measured.add_damage("blk.0.attn_v.weight", DType::Q4_K, 0.08);
        measured.add_damage("blk.2.attn_v.weight", DType::Q4_K, 0.08);

        let factors = sensitivities(&groups, &tensors, &measured, &[false; 4]);

        for (factor, expected) in factors.iter().zip([8.0, 4.0, 2.0, 8.0]) {
            assert!((factor / expected - 1.0).abs() < 1e-9, "{factors:?}");
        }
    }

    #[test]
    fn every_role_is_measured_before_any_role_twice() {
        let (_, groups, _) = setting();
        assert_eq!(order(&groups), [1, 3, 0, 2]);
    }

    #[test]
    fn layers_are_visited_from_the_middle_and_the_ends_into_the_gaps() {
        assert_eq!(spread(9)[..5], [4, 0, 8, 2, 6]);
        for count in 0..40 {
            let mut all = spread(count);
            all.sort_unstable();
            assert!(all.into_iter().eq(0..count), "{count}");
        }
    }
}
