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
/// Hot keys; the first is asked for half of the time.
const HOT: u32 = 64;
/// Operations between two points at which a task lets another one run.
const TURN: usize = 64;

/// Prints nanoseconds per get in one thread, and million operations a second of one task in one thread beside
/// 64 tasks in two, with nothing but gets and with a put in twenty.
///
/// Without a cache two threads do twice as much as one, if the machine is idle. With one they share a counter of
/// readers in whatever is asked for by both. Waiting for one another would show as less than one thread does.
pub(crate) fn print(part: usize) {
    println!("\n{:16} get p50 / p99 ns    gets: 1 task / 64 tasks (M/s)    1 put in 20: 1 / 64", "");
    let rounds = (9 / part).max(1);
    for name in ["nothing"].into_iter().chain(NAMES) {
        let cache: Arc<dyn Candidate> = candidate(name, 256 << 20, 8).into();
        (0..10_000).for_each(|number| cache.put(key(number), Bytes::from(vec![1; 2048])));
        let [p50, p99] = get_ns(&*cache, 1_000_000 / part);
        print!("{name:16} {p50:6} / {p99:<6}");
        for puts in [0, 20] {
            let one = median((0..rounds).map(|_| operations_per_us(&cache, 1, 1, puts)));
            let many = median((0..rounds).map(|_| operations_per_us(&cache, CORES, TASKS, puts)));
            print!("        {one:6.1} / {many:6.1} (x {:.2})", many / one);
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

/// How many operations a microsecond `tasks` tasks carry out in `threads` threads, on a few hot keys.
fn operations_per_us(cache: &Arc<dyn Candidate>, threads: usize, tasks: usize, puts: usize) -> f64 {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("threads start");
    let span = Duration::from_millis(50);
    let started = Instant::now();
    let workers =
        (0..tasks).map(|seed| runtime.spawn(work(cache.clone(), seed as u64, started + span, puts)));
    let done: usize =
        runtime.block_on(join_all(workers.collect::<Vec<_>>())).into_iter().map(|n| n.unwrap_or(0)).sum();
    done as f64 / started.elapsed().as_secs_f64() / 1e6
}

async fn work(cache: Arc<dyn Candidate>, seed: u64, end: Instant, puts: usize) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let keys: Vec<Fingerprint> = (0..HOT).map(key).collect();
    let script: Vec<usize> =
        (0..4096).map(|_| if random.random() { 0 } else { random.random_range(0..keys.len()) }).collect();
    let mut done = 0;
    while Instant::now() < end {
        for _ in 0..TURN {
            let key = keys[script[done % script.len()]];
            done += 1;
            match puts {
                puts if puts > 0 && done % puts == 0 => cache.put(key, Bytes::from_static(&[1; 2048])),
                _ => drop(black_box(cache.get(&key))),
            }
        }
        yield_now().await;
    }
    done
}
