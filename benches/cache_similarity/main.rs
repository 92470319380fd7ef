//! What the index of the similarity tier is worth: beside looking at each vector, in the same run, with what it misses.
//!
//! `cargo bench --bench cache_similarity`. Three sets of 100,000 vectors of 384 numbers in one scope: questions as
//! vectors of n-grams, clusters, and directions spread evenly, which no index of this kind finds its way in. Scans
//! and searches alternate in groups of ten queries, so that both share the machine's mood, and each group finds the
//! processor's caches as the other left them; the table has the medians of the groups. `AIC_BENCH_VECTORS` sets
//! another number of vectors.
//!
//! Recall counts a vector as found if it is as near as the tenth (or first) of the exact result: where several are
//! equally near, any of them is right.
mod texts;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aic_cache::{
    Fingerprint,
    semantic::{Index, Neighbour, NgramEmbedder, nearest},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const DIMENSIONS: usize = 384;
const GROUP: usize = 10;

type Vectors = Vec<Vec<f32>>;

/// Draws that many vectors to keep and that many queries.
type Set = fn(&mut StdRng, usize, usize) -> (Vectors, Vectors);

fn main() {
    // Under `cargo test --benches` one short pass shows that it works.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let (count, queries) = if quick { (2_000, 20) } else { (vectors_asked(), 1_000) };
    embedding();
    println!("cache_similarity: {count} vectors of {DIMENSIONS}, {queries} queries; times in µs, medians");
    println!(
        "{:<10} {:>8} {:>8} {:>7} {:>9} {:>10} {:>10} {:>8} {:>8}",
        "set", "scan", "index", "faster", "recall@1", "recall@10", "insert", "p99", "bytes"
    );
    let sets: [(&str, Set); 3] = [("questions", questions), ("clusters", clusters), ("even", even)];
    // Kept until the end: the next index would grow into the memory of the last, and its bytes would not be seen.
    let mut indexes = Vec::new();
    for (name, set) in sets {
        let (kept, asked) = set(&mut StdRng::seed_from_u64(1), count, queries);
        indexes.push(measure(name, &kept, &asked));
    }
}

fn vectors_asked() -> usize {
    std::env::var("AIC_BENCH_VECTORS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000)
}

/// A text of 2 KB as a vector.
fn embedding() {
    let (embedder, text) =
        (NgramEmbedder::new(DIMENSIONS), "How long does it take to repair a bicycle? ".repeat(48));
    let times = (0..200).map(|_| timed(|| black_box(embedder.vector(black_box(&text[..2048])))).1);
    println!("cache_similarity/embed/2KB: {:.1} µs", micros(percentile(times.collect(), 0.5)));
}

fn measure(name: &str, kept: &Vectors, asked: &Vectors) -> Index {
    let (scope, before) = (fingerprint(usize::MAX), resident_bytes());
    let index = Index::new(DIMENSIONS, kept.len());
    let insert = |(number, vector): (usize, &Vec<f32>)| {
        timed(|| index.insert(scope, fingerprint(number), vector).expect("all are as long")).1
    };
    let inserts: Vec<Duration> = kept.iter().enumerate().map(insert).collect();
    let bytes = resident_bytes().saturating_sub(before) / kept.len() as u64;

    // one after the other in memory, which is the quickest way to scan them
    let flat = kept.concat();
    let (mut scans, mut walks, mut first, mut ten) = (Vec::new(), Vec::new(), 0, 0);
    for group in asked.chunks(GROUP) {
        let (exact, took) =
            timed(|| group.iter().map(|query| look_at_each(&flat, query)).collect::<Vec<_>>());
        scans.push(took / group.len() as u32);
        let search = |query: &Vec<f32>| index.nearest(&scope, query, 10).expect("all are as long");
        let (found, took) = timed(|| group.iter().map(search).collect::<Vec<_>>());
        walks.push(took / group.len() as u32);
        for (exact, found) in exact.iter().zip(&found) {
            first += as_near_as(found, exact, 1);
            ten += as_near_as(found, exact, 10);
        }
    }
    let (scan, walk) = (micros(percentile(scans, 0.5)), micros(percentile(walks, 0.5)));
    println!(
        "{name:<10} {scan:>8.0} {walk:>8.1} {:>6.1}x {:>9.4} {:>10.4} {:>10.0} {:>8.0} {bytes:>8}",
        scan / walk,
        first as f64 / asked.len() as f64,
        ten as f64 / (10 * asked.len()) as f64,
        micros(percentile(inserts.clone(), 0.5)),
        micros(percentile(inserts, 0.99)),
    );
    index
}

fn look_at_each(flat: &[f32], query: &[f32]) -> Vec<Neighbour<usize>> {
    nearest(query, flat.chunks_exact(DIMENSIONS).enumerate(), 10).expect("all are as long")
}

/// How many of the first `count` found are as near as the last of the exact ones, but for rounding.
fn as_near_as(found: &[Neighbour], exact: &[Neighbour<usize>], count: usize) -> usize {
    let least = exact[count - 1].similarity - 1e-5;
    found.iter().take(count).filter(|near| near.similarity >= least).count()
}

/// Questions, and others that say the same.
fn questions(rng: &mut StdRng, count: usize, queries: usize) -> (Vectors, Vectors) {
    let embedder = NgramEmbedder::new(DIMENSIONS);
    let kept = texts::questions(rng, count);
    let asked = texts::paraphrases(rng, &kept, queries);
    let vectors = |texts: &[String]| texts.iter().map(|text| embedder.vector(text)).collect();
    (vectors(&kept), vectors(&asked))
}

/// A thousand centres, and around each vectors whose cosine with it is about 0.82.
fn clusters(rng: &mut StdRng, count: usize, queries: usize) -> (Vectors, Vectors) {
    let (centres, _) = even(rng, 1_000, 0);
    let mut draw = |_| {
        let centre = &centres[rng.random_range(0..centres.len())];
        unit(centre.iter().zip(unit(gaussian(rng))).map(|(centre, noise)| centre + 0.7 * noise).collect())
    };
    ((0..count).map(&mut draw).collect(), (0..queries).map(&mut draw).collect())
}

/// Directions of which none is likelier than another.
fn even(rng: &mut StdRng, count: usize, queries: usize) -> (Vectors, Vectors) {
    let mut draw = |_| unit(gaussian(rng));
    ((0..count).map(&mut draw).collect(), (0..queries).map(&mut draw).collect())
}

/// Numbers of the normal distribution (Box and Muller 1958).
fn gaussian(rng: &mut StdRng) -> Vec<f32> {
    let mut normal = |_| {
        let (radius, angle) = (1.0 - rng.random::<f32>(), rng.random::<f32>());
        (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
    };
    (0..DIMENSIONS).map(&mut normal).collect()
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

fn fingerprint(number: usize) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}

fn percentile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// From `/proc/self/statm`, in pages of 4 KiB; 0 where there is no such file.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
