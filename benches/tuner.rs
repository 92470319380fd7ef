//! What a suggestion costs: by TPE after 100 and 1000 trials, beside a random one, for five mixed parameters.
//!
//! `cargo bench --bench tuner`
use std::{hint::black_box, time::Duration};

use aic_tuner::{Direction, Finished, Random, Sampler, SearchSpace, Study, Tpe};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = suggestion
}
criterion_main!(benches);

fn suggestion(c: &mut Criterion) {
    let space = space();
    for trials in [100, 1000] {
        let history = history(&space, trials);
        suggest(c, &format!("tuner/tpe/{trials}_trials"), &Tpe::new(), &space, &history);
    }
    suggest(c, "tuner/random", &Random, &space, &[]);
}

fn suggest(c: &mut Criterion, id: &str, sampler: &impl Sampler, space: &SearchSpace, history: &[Finished]) {
    let mut seed = 0;
    c.bench_function(id, |b| {
        b.iter(|| {
            seed += 1;
            sampler.sample(space, black_box(history), Direction::Minimize, seed)
        });
    });
}

fn space() -> SearchSpace {
    let numbers = SearchSpace::builder().float("a", 0.0..=1.0).log_float("b", 1e-4..=1.0);
    let integers = numbers.int("c", 1..=16).log_int("d", 1..=1024);
    integers.categorical("e", ["x", "y", "z"]).build().expect("the domains are right")
}

/// Random trials with a smooth value, every tenth of them failed.
fn history(space: &SearchSpace, trials: u32) -> Vec<Finished> {
    let mut study = Study::builder(space.clone()).sampler(Random).build();
    for number in 0..trials {
        let trial = study.ask();
        let value = trial.configuration.float("a").expect("there is an `a`");
        study.tell(&trial, if number % 10 == 0 { f64::NAN } else { value }).expect("the trial is under way");
    }
    study.finished().to_vec()
}
