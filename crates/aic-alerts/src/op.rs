use std::fmt;

use serde::{Deserialize, Serialize};

/// How a value is compared with a rule's threshold; written as in arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Op {
    /// `>`
    #[serde(rename = ">")]
    Above,
    /// `>=`
    #[serde(rename = ">=")]
    AtLeast,
    /// `<`
    #[serde(rename = "<")]
    Below,
    /// `<=`
    #[serde(rename = "<=")]
    AtMost,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
}

impl Op {
    /// Whether `value` breaks the rule. Values that are not numbers break none.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => !value.is_nan() && value != threshold,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Op; 6] = [Op::Above, Op::AtLeast, Op::Below, Op::AtMost, Op::Equal, Op::NotEqual];

    #[test]
    fn around_the_threshold_each_operator_is_itself() {
        let below_at_above = |op: Op| [1.0, 2.0, 3.0].map(|value| op.holds(value, 2.0));

        assert_eq!(below_at_above(Op::Above), [false, false, true]);
        assert_eq!(below_at_above(Op::AtLeast), [false, true, true]);
        assert_eq!(below_at_above(Op::Below), [true, false, false]);
        assert_eq!(below_at_above(Op::AtMost), [true, true, false]);
        assert_eq!(below_at_above(Op::Equal), [false, true, false]);
        assert_eq!(below_at_above(Op::NotEqual), [true, false, true]);
    }

    #[test]
    fn what_is_no_number_breaks_no_rule() {
        assert!(ALL.iter().all(|op| !op.holds(f64::NAN, 1.0)));
    }

    #[test]
    fn written_as_displayed() {
        for op in ALL {
            assert_eq!(serde_json::to_value(op).unwrap(), op.to_string());
        }
    }
}
