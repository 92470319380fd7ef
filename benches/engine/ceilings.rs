//! What the machine can do at best: read memory, and multiply and add.
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use aic_benches::read_bytes_per_second;
use pulp::{Arch, Simd, WithSimd};

const CHAINS: usize = 12;

pub(crate) struct Ceilings {
    pub(crate) read_bytes_per_second: f64,
    /// 32-bit floats, fused.
    pub(crate) multiply_adds_per_second: f64,
}

/// The best of a few rounds.
pub(crate) fn measure(threads: usize, short: bool) -> Ceilings {
    let (bytes, rounds, steps) = if short { (1 << 19, 1, 1000) } else { (512 << 20, 5, 20_000_000) };
    let multiply_adds = || {
        let seconds = on_all(threads, || Arch::new().dispatch(Chains { steps }) as u64);
        (threads * steps * CHAINS * 8) as f64 / seconds
    };
    Ceilings {
        read_bytes_per_second: read_bytes_per_second(threads, bytes, rounds),
        multiply_adds_per_second: (0..rounds).map(|_| multiply_adds()).fold(0.0, f64::max),
    }
}

/// Seconds until all threads have done `work`.
fn on_all(threads: usize, work: impl Fn() -> u64 + Sync) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| black_box(work()));
        }
    });
    started.elapsed().as_secs_f64()
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
