//! Arithmetic on blocks of 32 numbers, eight of them side by side.
//!
//! Blocks are searched with these operations instead of loops over arrays, of which the compiler makes vector code only where
//! it sees a way to. The same numbers give the same bytes on every machine: there are eight lanes everywhere, sums add them up
//! in one order, and nothing is fused.
//!
//! Closures and iterators are avoided in here: only what is marked to be inlined always gets the vector instructions.
use std::ops::{Add, Mul, Sub};

use pulp::{Scalar256b, Simd, cast, f32x8};

/// Adding and subtracting it rounds a number below 2^22 to an integer, ties to even; between the two, the integer stands in
/// the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// Instructions for eight numbers: AVX2, or plain ones in groups of eight.
pub(super) trait Eight: Simd<f32s = f32x8> {}

impl<S: Simd<f32s = f32x8>> Eight for S {}

#[cfg(test)]
thread_local! {
    /// Whether [`widest`] does without vectors in this thread.
    pub(super) static PLAIN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Work to be compiled for several kinds of [`Eight`]. What it calls has to be inlined into it.
pub(super) trait Work {
    fn run<S: Eight>(self, simd: S);
}

/// Runs `work` compiled for the widest vectors of this machine.
#[inline(always)]
pub(super) fn widest(work: impl Work) {
    #[cfg(test)]
    if PLAIN.get() {
        return work.run(Scalar256b);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || work.run(simd),
        );
    }
    work.run(Scalar256b);
}

/// The lowest byte of an integer below 2^22, in two's complement; other numbers are rounded first, ties to even.
#[inline(always)]
pub(super) fn low_byte(integer: f32) -> u8 {
    (integer + ROUNDER).to_bits() as u8
}

/// `x` no lower than `low` and no higher than `high`; NaN becomes `low`.
#[inline(always)]
pub(super) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let raised = if x > low { x } else { low };
    if raised < high { raised } else { high }
}

/// 32 numbers.
#[derive(Clone, Copy)]
pub(super) struct Block<S: Eight>(S, [f32x8; 4]);

/// An operation on two blocks, number by number.
macro_rules! zip {
    ($a:ident, $b:ident, $operation:ident) => {{
        let ([a, b, c, d], [e, f, g, h]) = ($a.1, $b.1);
        let simd = $a.0;
        let parts =
            [simd.$operation(a, e), simd.$operation(b, f), simd.$operation(c, g), simd.$operation(d, h)];
        Block(simd, parts)
    }};
}

/// One number out of a block: by lanes first, then across them.
macro_rules! fold {
    ($a:ident, $operation:ident, $across:ident) => {{
        let (simd, [a, b, c, d]) = ($a.0, $a.1);
        simd.$across(simd.$operation(simd.$operation(a, b), simd.$operation(c, d)))
    }};
}

impl<S: Eight> Block<S> {
    #[inline(always)]
    pub(super) fn load(simd: S, numbers: &[f32; 32]) -> Self {
        Self(simd, cast(*numbers))
    }

    #[inline(always)]
    pub(super) fn splat(simd: S, x: f32) -> Self {
        Self(simd, [simd.splat_f32s(x); 4])
    }

    #[inline(always)]
    pub(super) fn store(self) -> [f32; 32] {
        cast(self.1)
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        let (simd, [a, b, c, d]) = (self.0, self.1);
        Self(simd, [simd.abs_f32s(a), simd.abs_f32s(b), simd.abs_f32s(c), simd.abs_f32s(d)])
    }

    /// The numbers no lower than `low` and no higher than `high`.
    #[inline(always)]
    pub(super) fn clamp(self, low: f32, high: f32) -> Self {
        let (low, high) = (Self::splat(self.0, low), Self::splat(self.0, high));
        let raised = zip!(self, low, max_f32s);
        zip!(raised, high, min_f32s)
    }

    /// The nearest integers, ties to even.
    #[inline(always)]
    pub(super) fn round(self) -> Self {
        (self + ROUNDER) - ROUNDER
    }

    /// `step` for numbers above `limit`, 0 for the others.
    #[inline(always)]
    pub(super) fn step(self, limit: f32, step: f32) -> Self {
        let (simd, [a, b, c, d]) = (self.0, self.1);
        let (limit, step, zero) = (simd.splat_f32s(limit), simd.splat_f32s(step), simd.splat_f32s(0.0));
        let a = simd.select_f32s(simd.greater_than_f32s(a, limit), step, zero);
        let b = simd.select_f32s(simd.greater_than_f32s(b, limit), step, zero);
        let c = simd.select_f32s(simd.greater_than_f32s(c, limit), step, zero);
        let d = simd.select_f32s(simd.greater_than_f32s(d, limit), step, zero);
        Self(simd, [a, b, c, d])
    }

    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        fold!(self, add_f32s, reduce_sum_f32s)
    }

    #[inline(always)]
    pub(super) fn largest(self) -> f32 {
        fold!(self, max_f32s, reduce_max_f32s)
    }

    #[inline(always)]
    pub(super) fn smallest(self) -> f32 {
        fold!(self, min_f32s, reduce_min_f32s)
    }

    /// The [lowest byte](low_byte) of each number.
    #[inline(always)]
    pub(super) fn bytes(self) -> [u8; 32] {
        let numbers = self.store();
        let mut bytes = [0; 32];
        for i in 0..32 {
            bytes[i] = low_byte(numbers[i]);
        }
        bytes
    }
}

/// An operator between blocks, and between a block and one number for all of it.
macro_rules! operator {
    ($name:ident, $method:ident, $operation:ident) => {
        impl<S: Eight> $name for Block<S> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                zip!(self, other, $operation)
            }
        }

        impl<S: Eight> $name<f32> for Block<S> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, x: f32) -> Self {
                let other = Self::splat(self.0, x);
                zip!(self, other, $operation)
            }
        }
    };
}

operator!(Add, add, add_f32s);
operator!(Sub, sub, sub_f32s);
operator!(Mul, mul, mul_f32s);
