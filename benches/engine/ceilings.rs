//! What the machine can do at best: read memory, and multiply and add.
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Places of the buffer that a thread reads from at the same time.
const STREAMS: usize = 4;
const CHAINS: usize = 12;

pub(crate) struct Ceilings {
    pub(crate) read_bytes_per_second: f64,
    /// 32-bit floats, fused.
    pub(crate) multiply_adds_per_second: f64,
}

/// The best of a few rounds.
pub(crate) fn measure(threads: usize, short: bool) -> Ceilings {
    let (numbers, rounds) = if short { (1 << 16, 1) } else { (1 << 26, 5) };
    let best = |round: &dyn Fn() -> f64| (0..rounds).map(|_| round()).fold(0.0, f64::max);
    let buffer: Vec<u64> = (0..numbers as u64).collect();
    let steps = if short { 1000 } else { 20_000_000 };
    Ceilings {
        read_bytes_per_second: best(&|| {
            (numbers * 8) as f64 / on_all(threads, |thread| sum(part(&buffer, thread, threads)))
        }),
        multiply_adds_per_second: best(&|| {
            let work = on_all(threads, |_| Arch::new().dispatch(Chains { steps }) as u64);
            (threads * steps * CHAINS * 8) as f64 / work
        }),
    }
}

/// Seconds until all threads have done `work`.
fn on_all(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for index in 0..threads {
            let work = &work;
            scope.spawn(move || black_box(work(index)));
        }
    });
    started.elapsed().as_secs_f64()
}

fn part(buffer: &[u64], index: usize, count: usize) -> &[u64] {
    let size = buffer.len() / count;
    &buffer[index * size..(index + 1) * size]
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

/// Independent chains of fused products, enough to hide what one takes.
struct Chains {
    steps: usize,
}

impl WithSimd for Chains {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut chains = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(*chain, factor, term);
            }
        }
        chains.into_iter().map(|chain| simd.reduce_sum_f32s(chain)).sum()
    }
}
