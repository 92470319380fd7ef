use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The name of a quantization level, such as `F16`, `Q8_0` or `Q4_K`, in the words of GGUF.
///
/// A name is 2 to 16 ASCII letters, digits and underscores, and is kept in upper case. Names that this crate has no
/// numbers for are allowed; what depends on their size is then `None`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Level(Cow<'static, str>);

/// Bytes taken by one block of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) elements: u32,
    pub(crate) bytes: u32,
}

macro_rules! levels {
    ($($name:ident $elements:literal $bytes:literal $text:literal)*) => {
        impl Level {
            $(#[doc = $text] pub const $name: Self = Self(Cow::Borrowed(stringify!($name)));)*

            /// The levels whose size is known, largest first.
            pub const KNOWN: &[Self] = &[$(Self::$name),*];

            pub(crate) fn block(&self) -> Option<Block> {
                match &*self.0 {
                    $(stringify!($name) => Some(Block { elements: $elements, bytes: $bytes }),)*
                    _ => None,
                }
            }
        }
    };
}

// Block sizes: ggml, `ggml-common.h`. The `_M` mixes have no block of their own: their rows are the whole-file
// averages of Llama 3 8B published in llama.cpp's `tools/quantize` and `tools/perplexity`, rounded up.
levels! {
    F32 1 4 "32-bit floating point."
    F16 1 2 "16-bit floating point."
    BF16 1 2 "16-bit floating point with the exponent of 32-bit."
    Q8_0 32 34 "8 bits and one scale for each 32 weights."
    Q6_K 256 210 "6 bits with two levels of scales."
    Q5_1 32 24 "5 bits, scale and minimum for each 32 weights."
    Q5_K_M 256 183 "Mostly 5 bits, the most sensitive tensors 6; size measured on Llama 3 8B."
    Q5_K 256 176 "5 bits with two levels of scales and minima."
    Q5_0 32 22 "5 bits and one scale for each 32 weights."
    Q4_1 32 20 "4 bits, scale and minimum for each 32 weights."
    Q4_K_M 256 157 "Mostly 4 bits, the most sensitive tensors 6; size measured on Llama 3.1 8B."
    Q4_K 256 144 "4 bits with two levels of scales and minima."
    Q4_0 32 18 "4 bits and one scale for each 32 weights."
    IQ4_XS 256 136 "4 bits on a non-linear grid."
    Q3_K_M 256 129 "Mostly 3 bits; size measured on Llama 3 8B."
    Q3_K 256 110 "3 bits with two levels of scales."
    Q2_K 256 84 "2 bits with two levels of scales and minima."
}

impl Level {
    /// Checks a name and brings it to upper case.
    ///
    /// # Errors
    /// [`Error::Level`] if it is shorter than 2 or longer than 16 characters, or has a character other than an ASCII
    /// letter, a digit or `_`.
    pub fn new(name: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(2..=16).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(Error::Level { name: name.to_owned() });
        }
        Ok(Self(Cow::Owned(name.to_ascii_uppercase())))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Bits for each weight, scales included; `None` for a level this crate has no numbers for.
    pub fn bits_per_weight(&self) -> Option<f64> {
        self.block().map(|block| f64::from(block.bytes) * 8.0 / f64::from(block.elements))
    }

    /// Bytes of `elements` weights, whole blocks; `None` for an unknown level or beyond `u64`.
    pub fn bytes(&self, elements: u64) -> Option<u64> {
        let block = self.block()?;
        elements.div_ceil(u64::from(block.elements)).checked_mul(u64::from(block.bytes))
    }

    /// Mean Kullback-Leibler divergence from F16, measured on Llama 3 8B and Wikitext-2 by llama.cpp
    /// (`tools/perplexity/README.md`, revision f364eb6f).
    ///
    /// A rough guide: the same level costs another model up to 2.5 times more or less. `None` where nothing was
    /// published; K levels are given the figure of their `_M` mix.
    pub fn divergence(&self) -> Option<f64> {
        Some(match self.as_str() {
            "F32" | "F16" | "BF16" => 0.0,
            "Q8_0" => 0.00136,
            "Q6_K" => 0.00545,
            "Q5_K" | "Q5_K_M" => 0.01076,
            "Q4_K" | "Q4_K_M" => 0.0313,
            "IQ4_XS" => 0.0363,
            "Q4_0" => 0.0719,
            "Q3_K" | "Q3_K_M" => 0.1019,
            "Q2_K" => 0.445,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for Level {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(&name)
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.0.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels_have_the_bits_that_ggml_documents() {
        let bits = |level: Level| level.bits_per_weight().unwrap();

        assert_eq!(bits(Level::F16), 16.0);
        assert_eq!(bits(Level::Q8_0), 8.5);
        assert_eq!(bits(Level::Q6_K), 6.5625);
        assert_eq!(bits(Level::Q4_K), 4.5);
        assert!((bits(Level::Q4_K_M) - 4.894).abs() < 0.02);
    }

    #[test]
    fn known_levels_are_listed_from_large_to_small() {
        let bits: Vec<_> = Level::KNOWN.iter().map(|level| level.bits_per_weight().unwrap()).collect();

        assert!(bits.is_sorted_by(|a, b| a >= b), "{bits:?}");
    }

    #[test]
    fn names_are_brought_to_upper_case_and_checked() {
        assert_eq!(Level::new("q4_k").unwrap(), Level::Q4_K);
        for wrong in ["", "Q", "Q4-K", "Q4 K", "a_name_that_is_too_long", "Q4ü"] {
            assert!(Level::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_level_has_no_size_rather_than_zero() {
        let level = Level::new("NVFP4").unwrap();

        assert_eq!(level.bits_per_weight(), None);
        assert_eq!(level.bytes(1_000), None);
    }

    #[test]
    fn bytes_are_counted_in_whole_blocks_and_never_wrap() {
        assert_eq!(Level::Q8_0.bytes(33), Some(68));
        assert_eq!(Level::F32.bytes(u64::MAX), None);
    }
}
