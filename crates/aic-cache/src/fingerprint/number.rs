//! Equal numbers are one number, however they were written.

/// A number in its one form: an integer if it is one and fits, else an IEEE double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Zero or more.
    Natural(u128),
    /// Less than zero, by its distance from it.
    Negative(u128),
    /// The bits of a double that is not whole, not finite, or at least 2¹²⁸ away from zero.
    Float(u64),
}

impl From<f64> for Number {
    fn from(v: f64) -> Self {
        let magnitude = v.abs();
        // `u128::MAX` rounds to 2¹²⁸, the first double that no longer fits.
        if magnitude.fract() != 0.0 || magnitude.is_nan() || magnitude >= u128::MAX as f64 {
            return Self::Float(if v.is_nan() { f64::NAN } else { v }.to_bits());
        }
        if v < 0.0 { Self::Negative(magnitude as u128) } else { Self::Natural(magnitude as u128) }
    }
}

impl From<f32> for Number {
    /// The number that the shortest decimal of `v` stands for: that is what JSON would say.
    fn from(v: f32) -> Self {
        few_places(v).unwrap_or_else(|| shortest(v)).into()
    }
}

const SCALES: [f64; 13] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// The shortest decimal of `v` if it has at most twelve places; settings of samplers have one or two.
///
/// Up to 10¹², `v` times a power of ten is exact as a double: 24 bits and 28. The quotient of two exact doubles is the
/// one nearest to the decimal, so the first number of places that leads back to `v` is the shortest decimal. Of
/// two that are equally near, the even one is taken, as by `serde_json`; `Display` takes the greater.
fn few_places(v: f32) -> Option<f64> {
    let wide = f64::from(v);
    let scales = SCALES.into_iter().filter(|_| wide.abs() < 16_777_216.0);
    scales.map(|scale| (wide * scale).round_ties_even() / scale).find(|&decimal| decimal as f32 == v)
}

/// The shortest decimal of any `v`, by way of its digits. Where `few_places` finds none, none are equally near.
fn shortest(v: f32) -> f64 {
    format!("{v:e}").parse().expect("what a float prints is a float")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn f32_is_the_number_its_json_text_stands_for(v in any::<f32>(), tie in 0u32..1 << 24) {
            for v in [v, tie as f32 / 32.0, tie as f32 / 1e4] {
                let text = serde_json::to_string(&v).unwrap();
                prop_assume!(text != "null");
                prop_assert_eq!(Number::from(v), Number::from(text.parse::<f64>().unwrap()));
            }
        }

        #[test]
        fn doubles_are_equal_exactly_when_their_numbers_are(a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(Number::from(a) == Number::from(b), a == b || a.is_nan() && b.is_nan());
            prop_assert_eq!(Number::from(a), Number::from(a + 0.0));
        }

        #[test]
        fn whole_double_is_the_integer_it_equals(v in any::<i64>(), shift in 0..64u32) {
            let exact = i128::from(v as f64 as i64) << shift;
            let number = if exact < 0 { Number::Negative(exact.unsigned_abs()) } else { Number::Natural(exact as u128) };
            prop_assume!((v as f64) < 9.2e18);
            prop_assert_eq!(Number::from(exact as f64), number);
        }
    }

    #[test]
    fn edges_are_where_they_should_be() {
        let beyond = 2f64.powi(128);

        assert_eq!(Number::from(-0.0f64), Number::Natural(0));
        assert_eq!(Number::from(beyond), Number::Float(beyond.to_bits()));
        assert_eq!(Number::from(beyond.next_down()), Number::Natural(u128::MAX - (1 << 75) + 1));
        assert_eq!(Number::from(f64::INFINITY), Number::Float(f64::INFINITY.to_bits()));
        assert_eq!(Number::from(-f64::NAN), Number::from(f32::NAN));
        assert_eq!(Number::from(1e20f32), Number::Natural(10u128.pow(20)));
        assert_eq!(Number::from(32_769f32 / 32.0), Number::from(1024.0312));
    }
}
