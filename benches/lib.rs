//! What the benches share.
use std::hint::black_box;
use std::thread;
use std::time::Instant;

/// Places of its part that a thread reads from at the same time.
const STREAMS: usize = 4;

/// How fast `threads` read memory of so many `bytes`, each its own part; the best of some `rounds`, in bytes a second.
pub fn read_bytes_per_second(threads: usize, bytes: usize, rounds: usize) -> f64 {
    let buffer: Vec<u64> = (0..bytes as u64 / 8).collect();
    let round = || {
        let started = Instant::now();
        thread::scope(|scope| {
            for part in buffer.chunks(buffer.len().div_ceil(threads)) {
                scope.spawn(|| black_box(sum(part)));
            }
        });
        size_of_val(&buffer[..]) as f64 / started.elapsed().as_secs_f64()
    };
    (0..rounds).map(|_| round()).fold(0.0, f64::max)
}

fn sum(numbers: &[u64]) -> u64 {
    let quarter = numbers.len() / STREAMS;
    let mut sums = [[0_u64; 8]; STREAMS];
    for start in (0..quarter.saturating_sub(7)).step_by(8) {
        for (stream, sums) in sums.iter_mut().enumerate() {
            let line = &numbers[stream * quarter + start..][..8];
            sums.iter_mut().zip(line).for_each(|(sum, number)| *sum = sum.wrapping_add(*number));
        }
    }
    sums.as_flattened().iter().fold(0, |all, sum| all.wrapping_add(*sum))
}
