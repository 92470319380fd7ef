//! How fast this machine reads memory: the ceiling of making tokens one by one.
use std::hint::black_box;
use std::time::Instant;

const NUMBERS: usize = 1 << 25;
/// Places of the buffer that a thread reads from at the same time.
const STREAMS: usize = 4;
const ROUNDS: usize = 5;

/// The best rate of a few rounds of reading 256 MiB on `threads` threads, in bytes a second.
pub(crate) fn read_bytes_per_second(threads: usize) -> f64 {
    let buffer: Vec<u64> = (0..NUMBERS as u64).collect();
    let parts: Vec<&[u64]> = buffer.chunks(NUMBERS.div_ceil(threads)).collect();
    let round = || {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for part in &parts {
                scope.spawn(|| black_box(sum(part)));
            }
        });
        (NUMBERS * size_of::<u64>()) as f64 / started.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| round()).fold(0.0, f64::max)
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
