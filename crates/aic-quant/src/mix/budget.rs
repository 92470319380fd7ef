use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, TensorInfo, TensorSource};

/// What a model may take: bytes of its tensors, with the padding between them but without the file's header.
///
/// Written `900MB`, `1.2GiB`, `123456` (bytes) or `4.5bpw` (bits per weight), in whatever case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So many bytes.
    Bytes(u64),
    /// So many bits for each number of the model, on average; above 0, at most 64.
    BitsPerWeight(f64),
}

const UNITS: &[(&str, f64)] = &[
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("b", 1.0),
];

impl Budget {
    /// The budget in bytes for the tensors of `source`.
    pub fn bytes(self, source: &dyn TensorSource) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::BitsPerWeight(bits) => {
                let numbers: u64 = source.tensors().iter().map(TensorInfo::elements).sum();
                (numbers as f64 * bits / 8.0) as u64
            }
        }
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Option {
            option: "budget",
            value: format!("`{text}`"),
            expected: "bytes such as 900MB or 1.2GiB, or bits per weight such as 4.5bpw",
        };
        let lower = text.trim().to_ascii_lowercase();
        let number = |text: &str| text.trim_end().parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
        if let Some(bits) = lower.strip_suffix("bpw") {
            return number(bits).filter(|bits| *bits <= 64.0).map(Self::BitsPerWeight).ok_or_else(wrong);
        }
        if let Ok(bytes) = lower.strip_suffix('b').unwrap_or(&lower).parse() {
            return Ok(Self::Bytes(bytes));
        }
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes)));
        let bytes = unit.and_then(|(count, unit)| Some(number(count)? * unit));
        bytes
            .filter(|bytes| *bytes < u64::MAX as f64)
            .map(|bytes| Self::Bytes(bytes as u64))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
            Self::BitsPerWeight(bits) => write!(f, "{bits}bpw"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_in_bytes_and_in_bits_per_weight() {
        let cases = [
            ("900MB", Budget::Bytes(900_000_000)),
            ("1.5 GiB", Budget::Bytes(1_610_612_736)),
            ("123456", Budget::Bytes(123_456)),
            ("18446744073709551615b", Budget::Bytes(u64::MAX)),
            ("4.5bpw", Budget::BitsPerWeight(4.5)),
        ];
        for (text, budget) in cases {
            assert_eq!(text.parse::<Budget>().unwrap(), budget);
            assert_eq!(budget.to_string().parse::<Budget>().unwrap(), budget);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MB", "-1MB", "0GiB", "nanbpw", "infGB", "1e30TB", "65bpw", "4.5 bits", "1.5"] {
            assert!(matches!(text.parse::<Budget>(), Err(Error::Option { .. })), "{text}");
        }
    }
}
