//! Functions of eight numbers at a time, for kernels that keep these in registers; the same as those of one number.
use std::arch::x86_64::*;

use super::functions::{EXP, LN_2, RANGE, ROUNDER};

/// [`exp`](super::exp).
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(in crate::kernels) fn exp(x: __m256) -> __m256 {
    let lowest = _mm256_set1_ps(RANGE[0]);
    // Of two operands one of which is NaN, these give the second.
    let clamped = _mm256_min_ps(_mm256_set1_ps(RANGE[1]), _mm256_max_ps(lowest, x));
    let shifted = _mm256_fmadd_ps(clamped, _mm256_set1_ps(std::f32::consts::LOG2_E), _mm256_set1_ps(ROUNDER));
    let power = _mm256_sub_ps(shifted, _mm256_set1_ps(ROUNDER));
    let r = _mm256_fnmadd_ps(power, _mm256_set1_ps(LN_2[0]), clamped);
    let r = _mm256_fnmadd_ps(power, _mm256_set1_ps(LN_2[1]), r);
    let mut series = _mm256_set1_ps(EXP[0]);
    for coefficient in &EXP[1..] {
        series = _mm256_fmadd_ps(series, r, _mm256_set1_ps(*coefficient));
    }
    let value = _mm256_add_ps(_mm256_fmadd_ps(series, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0));
    let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
    let scale = _mm256_add_epi32(exponent, _mm256_castps_si256(_mm256_set1_ps(1.0)));
    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(x, lowest);
    _mm256_andnot_ps(below, _mm256_mul_ps(value, _mm256_castsi256_ps(scale)))
}

/// [`tanh`](super::tanh).
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(in crate::kernels) fn tanh(x: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let bottom = _mm256_add_ps(one, exp(_mm256_add_ps(x, x)));
    _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0), bottom))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::InstructionSet;
    use crate::kernels::vectors::{functions, has_avx2};

    #[target_feature(enable = "avx2,fma")]
    fn both(numbers: [f32; 8]) -> [[f32; 8]; 2] {
        // SAFETY: vectors and arrays of eight numbers are the same bytes.
        let vector = unsafe { std::mem::transmute::<[f32; 8], __m256>(numbers) };
        // SAFETY: as above.
        unsafe { std::mem::transmute([exp(vector), tanh(vector)]) }
    }

    proptest! {
        #[test]
        fn eight_numbers_are_treated_like_one(
            numbers in prop::array::uniform8(prop_oneof![-100.0_f32..100.0, prop::num::f32::ANY]),
        ) {
            if !has_avx2(InstructionSet::best()) {
                return Ok(());
            }
            // SAFETY: the processor has these instructions.
            let found = unsafe { both(numbers) };
            for (function, found) in [functions::exp, functions::tanh].into_iter().zip(found) {
                let expected = numbers.map(|x| function(x, true));
                for (found, expected) in found.into_iter().zip(expected) {
                    prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan());
                }
            }
        }
    }
}
