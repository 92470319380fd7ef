//! The exact search: one choice for each model, bytes within each device's room, least cost.

/// Steps after which the search stops with the best it has.
const MOST_STEPS: u32 = 1_000_000;

/// Rounds in which the prices of the devices' bytes are found.
const ROUNDS: u32 = 200;

/// Costs this close are the same.
const SAME: f64 = 1e-9;

#[derive(Debug)]
pub(super) struct Problem {
    /// Bytes each device has for models.
    pub(super) rooms: Vec<u64>,
    /// For each model its choices, the last of which needs nothing.
    pub(super) models: Vec<Vec<Choice>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// By its place among the rooms.
    pub(super) device: Option<usize>,
    pub(super) bytes: u64,
    pub(super) cost: f64,
}

pub(super) struct Solution {
    /// The choice of each model.
    pub(super) chosen: Vec<usize>,
    pub(super) exact: bool,
}

/// Finds the solution of least cost, and among equals the one whose devices are emptiest, by the sum of their squared shares.
pub(super) fn solve(problem: &Problem) -> Solution {
    let prices = prices(problem);
    let reduced = |choice: &Choice| choice.cost + toll(problem, &prices, choice);
    // What most is at stake for goes first.
    let mut order: Vec<usize> = (0..problem.models.len()).collect();
    order.sort_by(|&a, &b| stake(&problem.models[b]).total_cmp(&stake(&problem.models[a])));
    let mut bounds = vec![-prices.iter().sum::<f64>(); order.len() + 1];
    let mut floors = vec![0.0; order.len() + 1];
    for (at, &model) in order.iter().enumerate().rev() {
        let choices = &problem.models[model];
        bounds[at] = bounds[at + 1] + least(choices.iter().map(reduced));
        floors[at] = floors[at + 1] + least(choices.iter().map(|choice| choice.cost));
    }
    let mut search = Search {
        problem,
        prices: &prices,
        bounds,
        floors,
        order,
        chosen: problem.models.iter().map(|choices| choices.len() - 1).collect(),
        free: problem.rooms.clone(),
        best: None,
        steps: 0,
    };
    search.visit(0, 0.0, 0.0);
    let exact = search.steps <= MOST_STEPS;
    let chosen = search.best.map_or(search.chosen, |best| best.chosen);
    Solution { chosen, exact }
}

struct Search<'a> {
    problem: &'a Problem,
    prices: &'a [f64],
    /// For each depth the least that the models from there on can cost, tolls included, less the tolls of all rooms.
    bounds: Vec<f64>,
    /// For each depth the least that the models from there on can cost if there were room for everything.
    floors: Vec<f64>,
    order: Vec<usize>,
    chosen: Vec<usize>,
    free: Vec<u64>,
    best: Option<Best>,
    steps: u32,
}

struct Best {
    cost: f64,
    fullness: f64,
    chosen: Vec<usize>,
}

impl Search<'_> {
    /// `paid` is what the models chosen so far cost, `tolls` what their bytes cost at the devices' prices.
    fn visit(&mut self, depth: usize, paid: f64, tolls: f64) {
        self.steps += 1;
        if self.steps > MOST_STEPS && self.best.is_some() {
            return;
        }
        let bound = paid + (tolls + self.bounds[depth]).max(self.floors[depth]);
        if self.best.as_ref().is_some_and(|best| bound > best.cost + SAME) {
            return;
        }
        let Some(&model) = self.order.get(depth) else { return self.keep(paid) };
        for at in self.ways(model) {
            let choice = self.problem.models[model][at];
            if !self.take(&choice) {
                continue;
            }
            self.chosen[model] = at;
            let toll = toll(self.problem, self.prices, &choice);
            self.visit(depth + 1, paid + choice.cost, tolls + toll);
            self.put_back(&choice);
        }
    }

    /// The choices of a model, the most promising first.
    fn ways(&self, model: usize) -> Vec<usize> {
        let choices = &self.problem.models[model];
        let promise = |at: &usize| choices[*at].cost + toll(self.problem, self.prices, &choices[*at]);
        let mut ways: Vec<usize> = (0..choices.len()).collect();
        ways.sort_by(|a, b| promise(a).total_cmp(&promise(b)));
        ways
    }

    fn take(&mut self, choice: &Choice) -> bool {
        let Some(device) = choice.device else { return true };
        let left = self.free[device].checked_sub(choice.bytes);
        self.free[device] = left.unwrap_or(self.free[device]);
        left.is_some()
    }

    fn put_back(&mut self, choice: &Choice) {
        if let Some(device) = choice.device {
            self.free[device] += choice.bytes;
        }
    }

    fn keep(&mut self, cost: f64) {
        let share = |(free, room): (&u64, &u64)| 1.0 - *free as f64 / (*room).max(1) as f64;
        let fullness = self.free.iter().zip(&self.problem.rooms).map(|pair| share(pair).powi(2)).sum();
        let better = self.best.as_ref().is_none_or(|best| {
            cost < best.cost - SAME || (cost <= best.cost + SAME && fullness < best.fullness)
        });
        if better {
            self.best = Some(Best { cost, fullness, chosen: self.chosen.clone() });
        }
    }
}

/// What a choice's bytes cost at the devices' prices, which are for the whole room of each.
fn toll(problem: &Problem, prices: &[f64], choice: &Choice) -> f64 {
    let toll = |device: usize| prices[device] * choice.bytes as f64 / problem.rooms[device].max(1) as f64;
    choice.device.map_or(0.0, toll)
}

/// Prices at which the bound is high, by subgradient ascent from zero.
fn prices(problem: &Problem) -> Vec<f64> {
    let mut prices = vec![0.0; problem.rooms.len()];
    let mut best = (f64::NEG_INFINITY, prices.clone());
    let scale: f64 = problem.models.iter().map(|choices| stake(choices)).sum();
    for round in 0..ROUNDS {
        let mut excess = vec![-1.0; problem.rooms.len()];
        let mut bound = -prices.iter().sum::<f64>();
        for choices in &problem.models {
            let reduced = |choice: &Choice| choice.cost + toll(problem, &prices, choice);
            let Some(taken) = choices.iter().min_by(|a, b| reduced(a).total_cmp(&reduced(b))) else {
                continue;
            };
            bound += reduced(taken);
            if let Some(device) = taken.device {
                excess[device] += taken.bytes as f64 / problem.rooms[device].max(1) as f64;
            }
        }
        if bound > best.0 {
            best = (bound, prices.clone());
        }
        let step = scale / f64::from(4 + round);
        prices.iter_mut().zip(excess).for_each(|(price, excess)| *price = (*price + step * excess).max(0.0));
    }
    best.1
}

/// How much depends on a model's choice.
fn stake(choices: &[Choice]) -> f64 {
    let most = choices.iter().map(|choice| choice.cost).max_by(f64::total_cmp).unwrap_or(0.0);
    most - least(choices.iter().map(|choice| choice.cost))
}

fn least(costs: impl Iterator<Item = f64>) -> f64 {
    costs.min_by(f64::total_cmp).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least cost over every combination.
    fn brute(problem: &Problem, model: usize, free: &[u64]) -> f64 {
        let Some(choices) = problem.models.get(model) else { return 0.0 };
        let way = |choice: &Choice| {
            let mut free = free.to_vec();
            if let Some(device) = choice.device {
                free[device] = free[device].checked_sub(choice.bytes)?;
            }
            Some(choice.cost + brute(problem, model + 1, &free))
        };
        choices.iter().filter_map(way).min_by(f64::total_cmp).unwrap()
    }

    fn cost(problem: &Problem, chosen: &[usize]) -> f64 {
        chosen.iter().zip(&problem.models).map(|(at, choices)| choices[*at].cost).sum()
    }

    prop_compose! {
        fn problems()(
            rooms in proptest::collection::vec(0_u64..100, 2),
            models in proptest::collection::vec(
                (proptest::collection::vec((0_usize..2, 1_u64..60, 0_u32..40), 0..4), 20_u32..60), 0..6),
        ) -> Problem {
            let choices = |(places, none): &(Vec<(usize, u64, u32)>, u32)| {
                let place = |&(device, bytes, cost): &(usize, u64, u32)| {
                    Choice { device: Some(device), bytes, cost: f64::from(cost) }
                };
                let none = Choice { device: None, bytes: 0, cost: f64::from(*none) };
                places.iter().map(place).chain([none]).collect()
            };
            Problem { rooms, models: models.iter().map(choices).collect() }
        }
    }

    proptest! {
        #[test]
        fn no_combination_is_better(problem in problems()) {
            let solution = solve(&problem);
            prop_assert!(solution.exact);
            let found = cost(&problem, &solution.chosen);
            prop_assert!((found - brute(&problem, 0, &problem.rooms)).abs() < 1e-6, "{found}");
            for (device, room) in problem.rooms.iter().enumerate() {
                let chosen = solution.chosen.iter().zip(&problem.models).map(|(at, choices)| choices[*at]);
                let used: u64 = chosen.filter(|choice| choice.device == Some(device)).map(|choice| choice.bytes).sum();
                prop_assert!(used <= *room);
            }
        }
    }

    #[test]
    fn two_dozen_models_on_full_devices_are_solved_exactly() {
        let choices = |i: u64| {
            let place = |device, bytes, cost| Choice { device: Some(device), bytes, cost };
            let weight = (i * 37 % 23 + 1) as f64;
            let bytes = i * 53 % 41 + 5;
            vec![
                place(0, bytes, weight),
                place(0, bytes / 2, 1.5 * weight),
                place(1, bytes, 6.0 * weight),
                Choice { device: None, bytes: 0, cost: 30.0 * weight },
            ]
        };
        let problem = Problem { rooms: vec![200, 150], models: (0..24).map(choices).collect() };
        assert!(solve(&problem).exact);
    }
}
