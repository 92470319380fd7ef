use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::{InstructionSet, Packed, Pool, Product, Scratch, multiply};
use crate::{DType, Result};

/// How fast a matrix of some type is multiplied on this machine; made by [`kernel_speed`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelSpeed {
    /// Multiply-adds a second, in the fastest product measured: what limits long prompts.
    pub multiply_adds_per_second: f64,
    /// Bytes of weights read a second in the same product: what limits single tokens.
    pub weight_bytes_per_second: f64,
}

/// Measures products of a matrix `shape`, rows and columns, with `tokens` rows of input, for at least `duration` and three times.
///
/// Weights are random. To see how fast they come from memory, take a matrix that is larger than the processor's caches.
///
/// # Errors
/// [`Error::UnsupportedDType`](crate::Error::UnsupportedDType) for types that cannot be multiplied,
/// [`Error::Unsupported`](crate::Error::Unsupported) for instructions that this processor lacks,
/// [`Error::Tensor`](crate::Error::Tensor) if the columns do not divide into blocks, and [`Error::Io`](crate::Error::Io) if
/// there is no memory for the matrix or no thread to be had.
pub fn kernel_speed(
    dtype: DType,
    [rows, columns]: [usize; 2],
    tokens: usize,
    instructions: InstructionSet,
    threads: usize,
    duration: Duration,
) -> Result<KernelSpeed> {
    let (pool, mut rng) = (Pool::new(threads)?, StdRng::seed_from_u64(0));
    let weights = Packed::pack(dtype, rows, columns, instructions, &pool, |_, bytes| {
        rng.fill_bytes(bytes);
        if !dtype.is_quantized() {
            // Exponents of common numbers: odd ones cost more.
            bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0x3c);
        }
        Ok(())
    })?;
    let input: Vec<f32> = (0..tokens * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
    let (mut output, mut scratch) = (vec![0.0; tokens * rows], Scratch::default());
    let (begin, mut fastest, mut count) = (Instant::now(), f64::INFINITY, 0);
    while count < 3 || begin.elapsed() < duration {
        let start = Instant::now();
        multiply(
            &pool,
            &mut scratch,
            &input,
            tokens,
            &mut [Product { weights: &weights, output: &mut output }],
        );
        fastest = fastest.min(start.elapsed().as_secs_f64());
        count += 1;
    }
    Ok(KernelSpeed {
        multiply_adds_per_second: (tokens * rows * columns) as f64 / fastest,
        weight_bytes_per_second: weights.resident_bytes() as f64 / fastest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn speed_of_a_product_is_above_zero_and_in_proportion() {
        let shape = [64, 256];
        let speed = kernel_speed(DType::Q8_0, shape, 2, InstructionSet::best(), 1, Duration::ZERO).unwrap();

        assert!(speed.multiply_adds_per_second > 0.0);
        // Two tokens for each weight, which takes 34 bytes in 32.
        let ratio = speed.weight_bytes_per_second / speed.multiply_adds_per_second;
        assert!((ratio - 34.0 / 32.0 / 2.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn types_and_shapes_without_a_product_are_errors() {
        let speed =
            |dtype, columns| kernel_speed(dtype, [16, columns], 1, InstructionSet::Scalar, 1, Duration::ZERO);

        assert!(matches!(speed(DType::IQ1_S, 256), Err(Error::UnsupportedDType { .. })));
        assert!(matches!(speed(DType::Q4_K, 100), Err(Error::Tensor { .. })));
    }
}
