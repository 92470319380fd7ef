//! What is asked for, in what order, and how large the answers are.

use std::{collections::HashMap, env, fs};

use rand::{RngExt, SeedableRng, rngs::StdRng};

const KEYS: u32 = 100_000;
const REQUESTS: usize = 1_000_000;
/// Keys from here on are asked for once.
const ONE_OFF: u32 = KEYS;

/// Requests, with the size of each key's answer.
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) requests: Vec<u32>,
    /// Sizes in bytes that are known; the others are made up by [`size`].
    sizes: HashMap<u32, u32>,
    /// The capacities it is replayed with, in bytes.
    pub(crate) capacities: Vec<(String, u64)>,
}

impl Trace {
    fn new(name: &str, requests: Vec<u32>, parts: &[f64]) -> Self {
        let mut trace =
            Self { name: name.to_owned(), requests, sizes: HashMap::new(), capacities: Vec::new() };
        let footprint = trace.footprint();
        trace.capacities =
            parts.iter().map(|part| (format!("{} %", part * 100.0), (footprint * part) as u64)).collect();
        trace
    }

    pub(crate) fn size(&self, key: u32) -> usize {
        self.sizes.get(&key).copied().unwrap_or_else(|| size(key)) as usize
    }

    /// The bytes of all answers but those to questions asked once.
    fn footprint(&self) -> f64 {
        let mut keys: Vec<u32> = self.requests.iter().copied().filter(|key| *key < ONE_OFF).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| self.size(key) as f64).sum()
    }
}

/// Every trace, shortened to one request in `part`.
pub(crate) fn all(part: usize) -> Vec<Trace> {
    let n = REQUESTS / part;
    let mut traces: Vec<Trace> = [0.8, 1.0, 1.1]
        .map(|exponent| Trace::new(&format!("Zipf {exponent:.1}"), zipf(exponent, n), &[0.01, 0.1]))
        .into();
    traces.push(Trace::new("half asked once", with_one_offs(&zipf(1.0, n)), &[0.01, 0.1]));
    traces.push(Trace::new("shifting", shifting(&zipf(1.0, n)), &[0.01, 0.1]));
    traces.push(Trace::new("loop", (0..n).map(|i| i as u32 % 10_000).collect(), &[0.8]));
    traces.extend(env::var("AIC_BENCH_TRACE").ok().map(|path| from_file(&path)));
    traces
}

/// Between 0.5 and 64 KB: the logarithm is normal about 4 KB, one standard deviation a factor of e.
pub(crate) fn size(key: u32) -> u32 {
    let mut random = StdRng::seed_from_u64(u64::from(key));
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    (4096.0 * normal.exp()).clamp(512.0, 65536.0) as u32
}

/// Keys in the order of their popularity, the `k`-th asked for in proportion to `k` to the power of `-exponent`.
fn zipf(exponent: f64, n: usize) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(7);
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    (0..n).map(|_| rank(&cumulated, random.random::<f64>() * sum)).collect()
}

fn rank(cumulated: &[f64], at: f64) -> u32 {
    cumulated.partition_point(|sum| *sum <= at).min(cumulated.len() - 1) as u32
}

/// Every second request is one that nobody makes again.
fn with_one_offs(requests: &[u32]) -> Vec<u32> {
    let popular = requests.iter().step_by(2);
    popular.enumerate().flat_map(|(i, key)| [*key, ONE_OFF + i as u32]).collect()
}

/// Twenty times, the 2,000 most popular questions give way to others.
fn shifting(requests: &[u32]) -> Vec<u32> {
    let hour = requests.len().div_ceil(20).max(1);
    let shift = |(i, key): (usize, &u32)| (key + 2_000 * (i / hour) as u32) % KEYS;
    requests.iter().enumerate().map(shift).collect()
}

/// One request per line: a key, and its size in bytes if it is known.
fn from_file(path: &str) -> Trace {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (mut numbers, mut sizes, mut requests) = (HashMap::new(), HashMap::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(key) = words.next() else { continue };
        let next = numbers.len() as u32;
        let number = *numbers.entry(key).or_insert(next);
        if let Some(size) = words.next().and_then(|size| size.parse().ok()) {
            sizes.insert(number, size);
        }
        requests.push(number);
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut trace = Trace { name, requests, sizes, capacities: Vec::new() };
    let bytes: u64 = (0..numbers.len() as u32).map(|key| trace.size(key) as u64).sum();
    trace.capacities = [1, 10].map(|percent| (format!("{percent} %"), bytes * percent / 100)).into();
    trace
}
