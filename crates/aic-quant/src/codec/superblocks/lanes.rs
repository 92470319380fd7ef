//! Eight numbers side by side, one for each of eight sub-blocks.
use std::ops::{Add, Mul, Neg, Sub};

use pulp::Simd;

/// How many sub-blocks are worked on at once.
pub(super) const LANES: usize = 8;

/// 1.5 · 2²³. Added to a number below 2²² in size it leaves no bits for a fraction, and the lowest ones for the whole number.
const SHIFT: f32 = 12_582_912.0;

/// Eight finite numbers that go through the same arithmetic.
///
/// What a lane holds depends neither on other lanes nor on how many of them one instruction takes, and no product is fused
/// with a sum: every machine makes the same bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes<S: Simd> {
    simd: S,
    value: S::f32s,
}

impl<S: Simd> Lanes<S> {
    /// `S` must work on eight lanes at once.
    #[inline(always)]
    pub(super) fn new(simd: S, lanes: [f32; LANES]) -> Self {
        Self { simd, value: pulp::cast(lanes) }
    }

    #[inline(always)]
    pub(super) fn splat(simd: S, value: f32) -> Self {
        Self { simd, value: simd.splat_f32s(value) }
    }

    #[inline(always)]
    pub(super) fn to_array(self) -> [f32; LANES] {
        pulp::cast(self.value)
    }

    #[inline(always)]
    pub(super) fn min(self, other: Self) -> Self {
        Self { value: self.simd.min_f32s(self.value, other.value), ..self }
    }

    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        Self { value: self.simd.max_f32s(self.value, other.value), ..self }
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        Self { value: self.simd.abs_f32s(self.value), ..self }
    }

    #[inline(always)]
    pub(super) fn clamp(self, least: f32, most: f32) -> Self {
        self.max(Self::splat(self.simd, least)).min(Self::splat(self.simd, most))
    }

    /// 0 for what is not finite, and nothing larger than any K type can hold: 65504 · 128 · 32 is below 2²⁸.
    #[inline(always)]
    pub(super) fn bounded(self) -> Self {
        const LIMIT: f32 = (1 << 28) as f32;
        let (zero, infinite) = (Self::splat(self.simd, 0.0), Self::splat(self.simd, f32::INFINITY));
        self.abs().less(infinite, self, zero).clamp(-LIMIT, LIMIT)
    }

    /// The nearest whole numbers, ties to even, of numbers below 2²² in size.
    ///
    /// By adding and subtracting, for want of an instruction that every processor has.
    #[inline(always)]
    pub(super) fn round(self) -> Self {
        self + SHIFT + -SHIFT
    }

    /// The lowest byte of whole numbers.
    #[inline(always)]
    pub(super) fn to_bytes(self) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        for (byte, lane) in bytes.iter_mut().zip((self + SHIFT).to_array()) {
            *byte = lane.to_bits() as u8;
        }
        bytes
    }

    /// 1 / self, and 0 where that is not finite.
    #[inline(always)]
    pub(super) fn inverse(self) -> Self {
        let one = Self::splat(self.simd, 1.0);
        let inverse = Self { value: self.simd.div_f32s(one.value, self.value), ..self };
        let infinite = Self::splat(self.simd, f32::INFINITY);
        inverse.abs().less(infinite, inverse, self * 0.0)
    }

    /// `then` where self is less than `other`, `otherwise` elsewhere.
    #[inline(always)]
    pub(super) fn less(self, other: Self, then: Self, otherwise: Self) -> Self {
        let mask = self.simd.less_than_f32s(self.value, other.value);
        Self { value: self.simd.select_f32s(mask, then.value, otherwise.value), ..self }
    }

    /// The sum over the lanes, first to last.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        let mut sum = 0.0;
        for lane in self.to_array() {
            sum += lane;
        }
        sum
    }
}

impl<S: Simd> Add for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { value: self.simd.add_f32s(self.value, other.value), ..self }
    }
}

impl<S: Simd> Sub for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { value: self.simd.sub_f32s(self.value, other.value), ..self }
    }
}

impl<S: Simd> Mul for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { value: self.simd.mul_f32s(self.value, other.value), ..self }
    }
}

impl<S: Simd> Add<f32> for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: f32) -> Self {
        self + Self::splat(self.simd, other)
    }
}

impl<S: Simd> Mul<f32> for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: f32) -> Self {
        self * Self::splat(self.simd, other)
    }
}

impl<S: Simd> Neg for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: self.simd.neg_f32s(self.value), ..self }
    }
}
