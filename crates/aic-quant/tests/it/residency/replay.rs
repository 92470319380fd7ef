//! Who reloads least: traces of requests, replayed with several ways to choose who goes.
use std::collections::BTreeMap;
use std::time::Duration;

use aic_quant::residency::{Effect, Experience, Input, ModelSpec, Policy, Residency};
use aic_quant::{Device, Memory};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const GPU: Device = Device::Cuda(0);

/// Megabytes and seconds to load, of ten models: some are large and fast to load, some small and slow to warm up.
const MODELS: [(u64, f64); 10] = [
    (5000, 6.0),
    (4500, 12.0),
    (3000, 3.0),
    (2600, 9.0),
    (1800, 2.0),
    (1500, 6.0),
    (1200, 1.5),
    (900, 4.0),
    (500, 0.7),
    (300, 2.5),
];

/// What fits at once: half of all.
const CAPACITY: u64 = 10_650;

const SWITCHES: usize = 3000;

/// Requests with their times; a run of requests for one model is one request.
type Trace = Vec<(Duration, usize)>;

struct Kind {
    name: &'static str,
    make: fn(&mut StdRng) -> Trace,
    /// Whether the crate promises at least a quarter less than LRU on it.
    promised: bool,
}

const KINDS: [Kind; 7] = [
    Kind { name: "phases with habits", make: phases, promised: true },
    Kind { name: "pipelines", make: pipelines, promised: false },
    Kind { name: "hours of the day", make: daily, promised: true },
    Kind { name: "bursts, Zipf 1.0", make: |random| zipf(random, 1.0), promised: true },
    Kind { name: "bursts, Zipf 0.6", make: |random| zipf(random, 0.6), promised: true },
    Kind { name: "loop of all ten", make: |_| spread((0..SWITCHES).map(|at| at % 10)), promised: true },
    Kind { name: "even chances", make: |random| zipf(random, 0.0), promised: false },
];

/// A switch every 40 seconds.
fn spread(models: impl Iterator<Item = usize>) -> Trace {
    let mut trace: Trace = Vec::new();
    for model in models {
        if trace.last().is_none_or(|(_, last)| *last != model) {
            trace.push((Duration::from_secs(40 * trace.len() as u64), model));
        }
    }
    trace
}

/// Models asked for in proportion to `(rank + 1)` to the power of `-exponent`, in an order of their own.
fn draw(random: &mut StdRng, order: &[usize], exponent: f64) -> usize {
    let weights: Vec<f64> = (1..=order.len()).map(|rank| (rank as f64).powf(-exponent)).collect();
    let mut at = random.random::<f64>() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        at -= weight;
        at < 0.0
    });
    order[chosen.unwrap_or(order.len() - 1)]
}

fn shuffled(random: &mut StdRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..MODELS.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.random_range(0..=at));
    }
    order
}

fn zipf(random: &mut StdRng, exponent: f64) -> Trace {
    let order = shuffled(random);
    spread((0..SWITCHES).map(|_| draw(random, &order, exponent)))
}

/// Phases of some sixty switches over five models each, in which every model has one that usually follows it.
fn phases(random: &mut StdRng) -> Trace {
    let phases: Vec<Vec<usize>> = (0..4).map(|_| shuffled(random)[..5].to_vec()).collect();
    let (mut phase, mut at) = (0, 0);
    let step = |_| {
        if random.random_bool(1.0 / 60.0) {
            phase = random.random_range(0..phases.len());
        }
        at = if random.random_bool(0.7) { (at + 1) % 5 } else { random.random_range(0..5) };
        phases[phase][at]
    };
    spread((0..SWITCHES).map(step))
}

/// Speech in, an answer, speech out, and the like: three chains, each run some times over before the next.
fn pipelines(random: &mut StdRng) -> Trace {
    let order = shuffled(random);
    let chains = [&order[0..4], &order[3..7], &order[6..10]];
    let mut models = Vec::new();
    while models.len() < SWITCHES {
        let chain = chains[draw(random, &[0, 1, 2], 1.0)];
        for _ in 0..random.random_range(1..8) {
            models.extend(chain.iter().filter(|_| random.random_bool(0.95)));
        }
    }
    spread(models.into_iter())
}

/// Other models in the morning, at noon, in the evening and at night, and now and then any.
fn daily(random: &mut StdRng) -> Trace {
    let order = shuffled(random);
    let shift = |at: usize| (40 * at / 3600 / 6) % 4;
    let model = |at: usize| {
        if random.random_bool(0.1) {
            return draw(random, &order, 0.0);
        }
        let own: Vec<usize> = (0..5).map(|i| order[(shift(at) * 3 + i) % 10]).collect();
        draw(random, &own, 0.8)
    };
    spread((0..SWITCHES).map(model))
}

/// Seconds spent loading by a policy that unloads who has the least key until there is room.
fn simple(trace: &Trace, mut key: impl FnMut(usize, usize) -> u64) -> f64 {
    let mut resident: Vec<usize> = Vec::new();
    let mut seconds = 0.0;
    for (at, &(_, model)) in trace.iter().enumerate() {
        if !resident.contains(&model) {
            while resident.iter().map(|other| MODELS[*other].0).sum::<u64>() + MODELS[model].0 > CAPACITY {
                let victim = (0..resident.len()).min_by_key(|other| key(at, resident[*other])).unwrap();
                resident.swap_remove(victim);
            }
            resident.push(model);
            seconds += MODELS[model].1;
        }
    }
    seconds
}

fn lru(trace: &Trace) -> f64 {
    let last = |at: usize, model| {
        trace[..at].iter().rposition(|(_, other)| *other == model).map_or(0, |last| last + 1)
    };
    simple(trace, |at, model| last(at, model) as u64)
}

fn lfu(trace: &Trace) -> f64 {
    simple(trace, |at, model| trace[..at].iter().filter(|(_, other)| *other == model).count() as u64)
}

/// The least that any policy could spend, knowing the future: Belady's bound, for models of different size and cost.
///
/// Dynamic programming over all sets of models that fit; dropping a model costs nothing, so a set is worth what any set around
/// it is worth.
fn bound(trace: &Trace) -> f64 {
    let sets = 1_usize << MODELS.len();
    let members = |set: usize| (0..MODELS.len()).filter(move |model| set >> model & 1 == 1);
    let size = |set: usize| members(set).map(|model| MODELS[model].0).sum::<u64>();
    let fits: Vec<bool> = (0..sets).map(|set| size(set) <= CAPACITY).collect();
    let mut least = vec![f64::INFINITY; sets];
    least[0] = 0.0;
    for &(_, model) in trace {
        let with = 1 << model;
        for bit in (0..MODELS.len()).map(|other| 1 << other) {
            for set in (0..sets).filter(|set| set & bit == 0) {
                least[set] = least[set].min(least[set | bit]);
            }
        }
        let after = |set: usize| {
            if set & with == 0 || !fits[set] {
                return f64::INFINITY;
            }
            least[set].min(least[set ^ with] + MODELS[model].1)
        };
        least = (0..sets).map(after).collect();
    }
    least.into_iter().fold(f64::INFINITY, f64::min)
}

/// Seconds spent loading by the crate; what is loaded ahead of requests counts.
fn ours(trace: &Trace) -> f64 {
    let policy = Policy { limit_share: 1.0, estimate_margin: 0.0, idle: None, ..Policy::default() };
    let mut residency = Residency::new(policy, Experience::new("replay")).unwrap();
    let names: Vec<String> = (0..MODELS.len()).map(|model| format!("model {model}")).collect();
    let by_name: BTreeMap<&str, f64> =
        names.iter().map(String::as_str).zip(MODELS.map(|(_, seconds)| seconds)).collect();
    for (name, (size, _)) in names.iter().zip(MODELS) {
        residency.register(ModelSpec::new(name).variant("f16", size << 20).devices([GPU])).unwrap();
    }
    let memory = Memory { total_bytes: CAPACITY << 20, free_bytes: CAPACITY << 20 };
    residency.step(Input::Observed { device: GPU, memory, ours_bytes: Some(0) }, Duration::ZERO);
    let mut seconds = 0.0;
    for (now, model) in trace {
        let mut inputs = vec![Input::Acquire { model: names[*model].clone() }];
        let mut granted = false;
        while let Some(input) = inputs.pop() {
            for effect in residency.step(input, *now) {
                match effect {
                    Effect::Load { model, .. } => {
                        let took = by_name[model.as_str()];
                        seconds += took;
                        inputs.push(Input::Loaded {
                            model,
                            bytes: None,
                            took: Duration::from_secs_f64(took),
                        });
                    }
                    Effect::Unload { model } => inputs.push(Input::Unloaded { model }),
                    Effect::Grant { .. } => granted = true,
                    effect => panic!("{effect:?}"),
                }
            }
        }
        assert!(granted);
        residency.step(Input::Release { model: names[*model].clone(), burst_bytes: None }, *now);
    }
    seconds
}

#[test]
fn bursty_traces_reload_a_quarter_less_than_least_recently_used() {
    println!(
        "{:20} {:>4} {:>8} {:>8} {:>8} {:>8}  of LRU  of bound",
        "seconds of loading", "seed", "LRU", "LFU", "ours", "bound"
    );
    for Kind { name, make, promised } in KINDS {
        let (mut all_lru, mut all_ours) = (0.0, 0.0);
        for seed in 0..4 {
            let trace = make(&mut StdRng::seed_from_u64(seed));
            let [lru, lfu, ours, bound] = [lru, lfu, ours, bound].map(|policy| policy(&trace));
            let (share, above) = (ours / lru, ours / bound);
            println!(
                "{name:20} {seed:>4} {lru:>8.0} {lfu:>8.0} {ours:>8.0} {bound:>8.0}  {share:>6.2}  {above:>8.2}"
            );
            assert!(bound <= ours.min(lru).min(lfu) + 1e-6, "the bound is none");
            (all_lru, all_ours) = (all_lru + lru, all_ours + ours);
        }
        let most = if promised { 0.75 } else { 1.0 };
        assert!(all_ours <= most * all_lru, "{name}: {:.3} of LRU", all_ours / all_lru);
    }
}
