//! What a get costs alone, and beside many others.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use aic_cache::Fingerprint;
use bytes::Bytes;
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{runtime, task::yield_now};

use crate::{
    candidate::{Candidate, NAMES, candidate},
    ratio::key,
};

const CORES: usize = 2;
const TASKS: usize = 64;
const KEYS: usize = 64;
/// Operations between two points at which a task lets another one run.
const TURN: usize = 64;

/// What tasks do.
#[derive(Clone, Copy)]
struct Mix {
    name: &'static str,
    /// How often one of the keys is asked for; the other times it is any of them.
    hottest: f64,
    /// How often a key is put instead of asked for.
    puts: f64,
}

const MIXES: [Mix; 3] = [
    Mix { name: "64 keys alike", hottest: 0.0, puts: 0.0 },
    Mix { name: "half of one key", hottest: 0.5, puts: 0.0 },
    Mix { name: "and 1 put in 20", hottest: 0.5, puts: 0.05 },
];

/// Prints nanoseconds per get in one thread, and million operations a second of one task in one thread beside
/// 64 tasks in two.
///
/// Without a cache two threads do twice as much as one, if the machine is idle. With one they meet at the counter
/// of readers of whatever both ask for; if they also waited for one another, they would do less than one thread.
pub(crate) fn print(part: usize) {
    print!("\nM operations/s, 1 task / 64 tasks\n{:16}{:>18}", "", "get p50 / p99 ns");
    MIXES.iter().for_each(|mix| print!("{:>24}", mix.name));
    println!();
    for name in ["nothing"].into_iter().chain(NAMES) {
        let cache: Arc<dyn Candidate> = candidate(name, 256 << 20, 8).into();
        (0..10_000).for_each(|number| cache.put(key(number), Bytes::from(vec![1; 2048])));
        let [p50, p99] = get_ns(&*cache, 1_000_000 / part);
        print!("{name:16}{:>18}", format!("{p50} / {p99}"));
        for mix in MIXES {
            let rounds = (9 / part).max(1);
            let one = median((0..rounds).map(|_| operations_per_us(&cache, 1, 1, mix)));
            let many = median((0..rounds).map(|_| operations_per_us(&cache, CORES, TASKS, mix)));
            print!("{:>24}", format!("{one:.1} / {many:.1} (x {:.2})", many / one));
        }
        println!();
    }
}

/// The median and the 99th percentile of a get of 10,000 keys in turn, the clock's own time taken off.
fn get_ns(cache: &dyn Candidate, n: usize) -> [u64; 2] {
    let mut random = StdRng::seed_from_u64(1);
    let keys: Vec<Fingerprint> = (0..10_000).map(key).collect();
    let clock = quantile(&mut (0..n).map(|_| nanoseconds(|| ())).collect::<Vec<_>>(), 0.5);
    let mut times: Vec<u64> = (0..n)
        .map(|_| {
            let key = &keys[random.random_range(0..keys.len())];
            nanoseconds(|| drop(black_box(cache.get(key))))
        })
        .collect();
    [0.5, 0.99].map(|q| quantile(&mut times, q).saturating_sub(clock))
}

fn nanoseconds(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}

fn quantile(times: &mut [u64], q: f64) -> u64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * q) as usize]
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// How many operations a microsecond `tasks` tasks carry out in `threads` threads.
fn operations_per_us(cache: &Arc<dyn Candidate>, threads: usize, tasks: usize, mix: Mix) -> f64 {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("threads start");
    let scripts: Vec<_> = (0..tasks as u64).map(|seed| script(seed, mix)).collect();
    let started = Instant::now();
    let end = started + Duration::from_millis(50);
    let workers: Vec<_> =
        scripts.into_iter().map(|script| runtime.spawn(work(cache.clone(), script, end))).collect();
    let done: usize = runtime.block_on(join_all(workers)).into_iter().map(|n| n.expect("no panics")).sum();
    done as f64 / started.elapsed().as_secs_f64() / 1e6
}

/// Keys, and whether they are put.
fn script(seed: u64, mix: Mix) -> Vec<(Fingerprint, bool)> {
    let mut random = StdRng::seed_from_u64(seed);
    let keys: Vec<Fingerprint> = (0..KEYS as u32).map(key).collect();
    let mut step = || {
        let number = if random.random_bool(mix.hottest) { 0 } else { random.random_range(0..KEYS) };
        (keys[number], random.random_bool(mix.puts))
    };
    (0..1024).map(|_| step()).collect()
}

async fn work(cache: Arc<dyn Candidate>, script: Vec<(Fingerprint, bool)>, end: Instant) -> usize {
    let mut steps = script.iter().cycle();
    let mut done = 0;
    while Instant::now() < end {
        for (key, put) in steps.by_ref().take(TURN) {
            if *put {
                cache.put(*key, Bytes::from_static(&[1; 2048]));
            } else {
                drop(black_box(cache.get(key)));
            }
        }
        done += TURN;
        yield_now().await;
    }
    done
}
