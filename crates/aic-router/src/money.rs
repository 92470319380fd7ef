use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount of money in billionths of a US dollar.
///
/// Whole numbers, so that a million small costs add up exactly. Additions stop at the greatest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// The amount in dollars, for displays and scores.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// `$0`, `$0.000123`, `$1.25`: at least two decimals, at most nine, no trailing zeros beyond.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("$0");
        }
        let digits = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let kept = digits.trim_end_matches('0').len().max(digits.len() - 7);
        f.pad(&format!("${}", &digits[..kept]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_exactly_and_without_needless_zeros() {
        let shown =
            [0, 1, 123_000, 250_000_000, 1_000_000_000, 12_345_678_901].map(|n| NanoUsd(n).to_string());

        assert_eq!(shown, ["$0", "$0.000000001", "$0.000123", "$0.25", "$1.00", "$12.345678901"]);
    }
}
