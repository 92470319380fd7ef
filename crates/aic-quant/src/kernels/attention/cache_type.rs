use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Numbers that share a scale in the types with 8 and 4 bits.
pub(super) const BLOCK: usize = 32;

/// How the keys and values that attention looks back at are kept.
///
/// Parses from and prints as `f16`, `q8_0`, `q4_0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheType {
    /// 16-bit floats; larger numbers than 65504 count as that.
    #[default]
    F16,
    /// 8-bit integers, 32 of them with a 16-bit scale: 8.5 bits a number.
    Q8_0,
    /// 4-bit integers, 32 of them with a 16-bit scale: 4.5 bits a number.
    Q4_0,
}

impl CacheType {
    const ALL: [Self; 3] = [Self::F16, Self::Q8_0, Self::Q4_0];

    /// That heads of `head_size` numbers can be kept so.
    ///
    /// # Errors
    /// [`Error::Option`] if the head is not made of whole blocks of 32 numbers and the type is.
    pub fn check(self, head_size: usize) -> Result<()> {
        if self == Self::F16 || head_size.is_multiple_of(BLOCK) {
            return Ok(());
        }
        Err(Error::Option {
            option: "cache_type",
            value: format!("{self} for heads of {head_size} numbers"),
            expected: "f16, or a model whose head size is a multiple of 32",
        })
    }

    /// Bytes of `numbers` numbers, whole blocks, with their scales.
    pub(crate) fn bytes(self, numbers: usize) -> usize {
        let scales = if self == Self::F16 { 0 } else { numbers / BLOCK };
        self.code_bytes(numbers) + 2 * scales
    }

    /// Bytes of the codes of `numbers` numbers.
    pub(super) fn code_bytes(self, numbers: usize) -> usize {
        match self {
            Self::F16 => numbers * 2,
            Self::Q8_0 => numbers,
            Self::Q4_0 => numbers / 2,
        }
    }

    /// Codes of `numbers` numbers as they are addressed: two of 4 bits count as one.
    pub(super) fn codes(self, numbers: usize) -> usize {
        if self == Self::Q4_0 { numbers / 2 } else { numbers }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CacheType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::Unsupported {
            what: "cache type",
            name: name.to_owned(),
            supported: "f16, q8_0, q4_0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_printing_and_parsing() {
        for kind in CacheType::ALL {
            assert_eq!(kind.to_string().parse::<CacheType>().unwrap(), kind);
            assert_eq!(kind.to_string().to_uppercase().parse::<CacheType>().unwrap(), kind);
        }
        assert!("q5_1".parse::<CacheType>().is_err());
    }

    #[test]
    fn blocks_refuse_heads_they_do_not_divide() {
        assert!(CacheType::F16.check(40).is_ok());
        assert!(CacheType::Q8_0.check(96).is_ok());
        let refused = CacheType::Q4_0.check(80).unwrap_err().to_string();
        assert_eq!(
            refused,
            "option `cache_type` is q4_0 for heads of 80 numbers; expected f16, or a model whose head size is a multiple of 32"
        );
    }
}
