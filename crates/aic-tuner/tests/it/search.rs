//! Whether searching by TPE pays, on functions with a known optimum and fixed seeds.
use std::f64::consts::PI;

use aic_tuner::{Configuration, Direction, Finished, Outcome, Random, Sampler, SearchSpace, Study, Tpe};

const SEEDS: u64 = 20;

/// A problem: its space, and the loss of a configuration above the optimum, or a failure.
struct Problem {
    space: SearchSpace,
    regret: fn(&Configuration) -> Outcome,
}

/// Two dimensions, three global minima of 0.397887: Branin 1972.
fn branin() -> Problem {
    let space = SearchSpace::builder().float("x", -5.0..=10.0).float("y", 0.0..=15.0).build().unwrap();
    let regret = |at: &Configuration| {
        let (x, y) = (at.float("x").unwrap(), at.float("y").unwrap());
        let bowl = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
        Outcome::Value(bowl * bowl + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0 - 0.397_887)
    };
    Problem { space, regret }
}

/// Five dimensions, a single minimum of 0 off the middle.
fn sphere() -> Problem {
    let names = ["a", "b", "c", "d", "e"];
    let space = names.iter().fold(SearchSpace::builder(), |space, name| space.float(*name, -3.0..=5.0));
    let regret = |at: &Configuration| {
        Outcome::Value(["a", "b", "c", "d", "e"].map(|name| at.float(name).unwrap().powi(2)).iter().sum())
    };
    Problem { space: space.build().unwrap(), regret }
}

/// A server's settings: the batch on a logarithm, a choice that matters, and a corner where it runs out of memory.
fn server() -> Problem {
    let space = SearchSpace::builder()
        .log_int("batch", 1..=1024)
        .log_float("patience", 1e-4..=1.0)
        .categorical("kernel", ["naive", "tiled", "fused", "broken"])
        .build()
        .unwrap();
    let regret = |at: &Configuration| {
        let (batch, patience) = (at.int("batch").unwrap() as f64, at.float("patience").unwrap());
        let kernel = match at.choice("kernel").unwrap() {
            "naive" => 2.0,
            "tiled" => 0.5,
            "fused" => 0.0,
            _ => return Outcome::Failed("the kernel does not start".to_owned()),
        };
        if batch > 200.0 {
            return Outcome::Infeasible("out of memory".to_owned());
        }
        Outcome::Value(kernel + (batch / 96.0).ln().powi(2) + (patience / 0.01).ln().powi(2) / 4.0)
    };
    Problem { space, regret }
}

fn search(problem: &Problem, sampler: impl Sampler, seed: u64, trials: usize) -> Vec<Finished> {
    let mut study = Study::builder(problem.space.clone()).sampler(sampler).seed(seed).build();
    for _ in 0..trials {
        let trial = study.ask();
        study.tell(&trial, (problem.regret)(&trial.configuration)).unwrap();
    }
    study.finished().to_vec()
}

fn best(trials: &[Finished]) -> f64 {
    trials.iter().filter_map(|trial| trial.outcome.value()).fold(f64::INFINITY, f64::min)
}

/// The geometric mean of the best regret over the seeds.
fn typical_regret(problem: &Problem, sampler: &(impl Sampler + Clone), trials: usize) -> f64 {
    let logs = (0..SEEDS).map(|seed| best(&search(problem, sampler.clone(), seed, trials)).max(1e-9).ln());
    (logs.sum::<f64>() / SEEDS as f64).exp()
}

#[track_caller]
fn assert_tpe_wins(problem: &Problem, trials: usize, factor: f64) {
    let (random, tpe) =
        (typical_regret(problem, &Random, trials), typical_regret(problem, &Tpe::new(), trials));
    assert!(tpe * factor < random, "TPE {tpe:.4}, random {random:.4}");
}

#[test]
fn tpe_comes_closer_than_random_on_branin() {
    assert_tpe_wins(&branin(), 80, 2.0);
}

#[test]
fn tpe_comes_closer_than_random_in_five_dimensions() {
    assert_tpe_wins(&sphere(), 80, 2.0);
}

#[test]
fn tpe_comes_closer_than_random_on_mixed_parameters_with_failures() {
    assert_tpe_wins(&server(), 80, 2.0);
}

#[test]
fn tpe_learns_to_avoid_what_fails() {
    let failures =
        |trials: &[Finished]| trials.iter().filter(|trial| trial.outcome.value().is_none()).count();
    let total = |sampler: fn() -> Box<dyn Sampler>| -> usize {
        (0..SEEDS).map(|seed| failures(&search(&server(), sampler(), seed, 80)[40..])).sum()
    };

    let (random, tpe) = (total(|| Box::new(Random)), total(|| Box::new(Tpe::new())));

    assert!(tpe * 2 < random, "of {} trials TPE lost {tpe}, random {random}", SEEDS * 40);
}

#[test]
fn the_same_seed_gives_the_same_trials() {
    let problem = server();

    assert_eq!(search(&problem, Tpe::new(), 5, 40), search(&problem, Tpe::new(), 5, 40));
    assert_ne!(search(&problem, Tpe::new(), 5, 40), search(&problem, Tpe::new(), 6, 40));
}

#[test]
fn maximizing_mirrors_minimizing() {
    let problem = branin();
    let run = |direction, sign: f64| {
        let mut study = Study::builder(problem.space.clone()).direction(direction).seed(2).build();
        for _ in 0..40 {
            let trial = study.ask();
            let value = (problem.regret)(&trial.configuration).value().unwrap();
            study.tell(&trial, sign * value).unwrap();
        }
        study.best().unwrap().configuration.clone()
    };

    assert_eq!(run(Direction::Minimize, 1.0), run(Direction::Maximize, -1.0));
}

#[test]
fn every_configuration_that_is_asked_for_lies_within_its_space() {
    let space = SearchSpace::builder()
        .float("point", 2.0..=2.0)
        .log_float("log", 0.3..=0.7)
        .int("one", 5..=5)
        .log_int("small", 1..=3)
        .categorical("single", ["only"])
        .build()
        .unwrap();
    for (seed, value) in [(0, 1.0), (1, f64::INFINITY), (2, f64::NEG_INFINITY), (3, f64::NAN)] {
        let mut study = Study::builder(space.clone()).seed(seed).build();
        for number in 0..40 {
            let trial = study.ask();
            space.check(&trial.configuration).unwrap();
            study.tell(&trial, if number % 2 == 0 { value } else { f64::from(number) }).unwrap();
        }
    }
}

#[tokio::test]
async fn optimize_turns_errors_into_failed_trials_and_returns_the_best() {
    let mut study = Study::builder(branin().space).seed(1).build();
    let mut calls = 0;

    let best = study
        .optimize(
            |tried: Configuration| {
                calls += 1;
                let odd = calls % 2 == 1;
                async move { if odd { Err("no luck") } else { Ok(tried.float("x").unwrap().abs()) } }
            },
            20,
        )
        .await
        .cloned();

    let failed = study.finished().iter().filter(|trial| trial.outcome == Outcome::Failed("no luck".into()));
    assert_eq!(failed.count(), 10);
    assert_eq!(best.as_ref(), study.best());
}

#[test]
fn finished_trials_survive_being_saved() {
    let trials = search(&server(), Tpe::new(), 3, 20);

    let saved = serde_json::to_string(&trials).unwrap();
    let read: Vec<Finished> = serde_json::from_str(&saved).unwrap();

    // Display rounds; serde_json may change the last digit of a number.
    let printed = |trials: &[Finished]| -> Vec<String> {
        trials
            .iter()
            .map(|trial| format!("{} {} {:.9}", trial.number, trial.configuration, trial.outcome))
            .collect()
    };
    assert_eq!(printed(&read), printed(&trials));
}
