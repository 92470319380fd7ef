use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result};

/// How the numbers of a tensor are stored, by the names GGUF uses.
///
/// Quantized types store *blocks*: [`block_size`](Self::block_size) consecutive numbers of one row share scales and
/// take [`block_bytes`](Self::block_bytes) bytes. [`FromStr`] also understands everyday names. Mixtures of types, such as
/// `Q4_K_M`, are no type but a [`Recipe`](crate::Recipe).
///
/// ```
/// use aic_quant::DType;
///
/// assert_eq!("int8".parse::<DType>()?, DType::Q8_0);
/// assert_eq!("int4".parse::<DType>()?, DType::Q4_K);
/// assert_eq!("fp16".parse::<DType>()?, DType::F16);
/// assert_eq!(DType::Q4_K.bits_per_weight(), 4.5);
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 64-bit float.
    F64,
    /// 8-bit integer.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 4 bits, blocks of 32, one scale.
    Q4_0,
    /// 4 bits, blocks of 32, scale and minimum.
    Q4_1,
    /// 5 bits, blocks of 32, one scale.
    Q5_0,
    /// 5 bits, blocks of 32, scale and minimum.
    Q5_1,
    /// 8 bits, blocks of 32, one scale.
    Q8_0,
    /// 8 bits, blocks of 32, scale and sum.
    Q8_1,
    /// 2 bits, super-blocks of 256.
    Q2_K,
    /// 3 bits, super-blocks of 256.
    Q3_K,
    /// 4 bits, super-blocks of 256 with 6-bit scales and minima.
    Q4_K,
    /// 5 bits, super-blocks of 256 with 6-bit scales and minima.
    Q5_K,
    /// 6 bits, super-blocks of 256 with 8-bit scales.
    Q6_K,
    /// 8 bits, super-blocks of 256; intermediate results only.
    Q8_K,
    /// 2.06 bits, code book.
    IQ2_XXS,
    /// 2.31 bits, code book.
    IQ2_XS,
    /// 2.56 bits, code book.
    IQ2_S,
    /// 3.06 bits, code book.
    IQ3_XXS,
    /// 3.44 bits, code book.
    IQ3_S,
    /// 1.56 bits, code book.
    IQ1_S,
    /// 1.75 bits, code book.
    IQ1_M,
    /// 4 bits, non-linear levels, blocks of 32.
    IQ4_NL,
    /// 4 bits, non-linear levels, super-blocks of 256.
    IQ4_XS,
    /// Ternary, 1.69 bits.
    TQ1_0,
    /// Ternary, 2.06 bits.
    TQ2_0,
    /// 4-bit floats with a shared 8-bit exponent, blocks of 32.
    MXFP4,
}

/// One row per type: code in a GGUF file, name, weights per block, bytes per block.
///
/// Source: `GGML_QUANT_SIZES` of ggml's `gguf-py`, and `ggml-common.h` for Q8_1.
const TABLE: &[(DType, u32, &str, usize, usize)] = &[
    (DType::F32, 0, "F32", 1, 4),
    (DType::F16, 1, "F16", 1, 2),
    (DType::Q4_0, 2, "Q4_0", 32, 18),
    (DType::Q4_1, 3, "Q4_1", 32, 20),
    (DType::Q5_0, 6, "Q5_0", 32, 22),
    (DType::Q5_1, 7, "Q5_1", 32, 24),
    (DType::Q8_0, 8, "Q8_0", 32, 34),
    (DType::Q8_1, 9, "Q8_1", 32, 36),
    (DType::Q2_K, 10, "Q2_K", 256, 84),
    (DType::Q3_K, 11, "Q3_K", 256, 110),
    (DType::Q4_K, 12, "Q4_K", 256, 144),
    (DType::Q5_K, 13, "Q5_K", 256, 176),
    (DType::Q6_K, 14, "Q6_K", 256, 210),
    (DType::Q8_K, 15, "Q8_K", 256, 292),
    (DType::IQ2_XXS, 16, "IQ2_XXS", 256, 66),
    (DType::IQ2_XS, 17, "IQ2_XS", 256, 74),
    (DType::IQ3_XXS, 18, "IQ3_XXS", 256, 98),
    (DType::IQ1_S, 19, "IQ1_S", 256, 50),
    (DType::IQ4_NL, 20, "IQ4_NL", 32, 18),
    (DType::IQ3_S, 21, "IQ3_S", 256, 110),
    (DType::IQ2_S, 22, "IQ2_S", 256, 82),
    (DType::IQ4_XS, 23, "IQ4_XS", 256, 136),
    (DType::I8, 24, "I8", 1, 1),
    (DType::I16, 25, "I16", 1, 2),
    (DType::I32, 26, "I32", 1, 4),
    (DType::I64, 27, "I64", 1, 8),
    (DType::F64, 28, "F64", 1, 8),
    (DType::IQ1_M, 29, "IQ1_M", 256, 56),
    (DType::BF16, 30, "BF16", 1, 2),
    (DType::TQ1_0, 34, "TQ1_0", 256, 54),
    (DType::TQ2_0, 35, "TQ2_0", 256, 66),
    (DType::MXFP4, 39, "MXFP4", 32, 17),
];

/// Names people use, in lower case.
const ALIASES: &[(&str, DType)] = &[
    ("float32", DType::F32),
    ("fp32", DType::F32),
    ("float16", DType::F16),
    ("fp16", DType::F16),
    ("half", DType::F16),
    ("bfloat16", DType::BF16),
    ("int8", DType::Q8_0),
    ("8bit", DType::Q8_0),
    ("q8", DType::Q8_0),
    ("int4", DType::Q4_K),
    ("4bit", DType::Q4_K),
    ("q4", DType::Q4_K),
    ("int5", DType::Q5_K),
    ("q5", DType::Q5_K),
    ("int6", DType::Q6_K),
    ("q6", DType::Q6_K),
];

impl DType {
    /// Every type, in the order of their GGUF codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type with this code in a GGUF file; `None` if there is none, or it was withdrawn from the format.
    pub fn from_code(code: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// The code of this type in a GGUF file.
    pub fn code(self) -> u32 {
        self.row().1
    }

    /// The field's name for the type, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// How many consecutive weights of a row form one block; 1 for plain numbers.
    pub fn block_size(self) -> usize {
        self.row().3
    }

    /// How many bytes one block takes.
    pub fn block_bytes(self) -> usize {
        self.row().4
    }

    /// Bits per weight, scales included: 8.5 for [`Q8_0`](Self::Q8_0).
    pub fn bits_per_weight(self) -> f64 {
        self.block_bytes() as f64 * 8.0 / self.block_size() as f64
    }

    /// Whether weights share scales in blocks.
    pub fn is_quantized(self) -> bool {
        self.block_size() > 1
    }

    /// The bytes of a tensor of this `shape` (outermost dimension first), or `None` if a row does not divide into
    /// blocks or the number of bytes overflows.
    pub fn bytes_of(self, shape: &[usize]) -> Option<u64> {
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(self.block_size()) {
            return None;
        }
        let elements = shape.iter().try_fold(1_u64, |n, &dim| n.checked_mul(dim as u64))?;
        (elements / self.block_size() as u64).checked_mul(self.block_bytes() as u64)
    }

    /// llama.cpp's code for a file that is mostly of this type (`LLAMA_FTYPE_MOSTLY_…`).
    pub(crate) fn file_type(self) -> Option<u32> {
        match self {
            Self::F32 => Some(0),
            Self::F16 => Some(1),
            Self::Q4_0 => Some(2),
            Self::Q4_1 => Some(3),
            Self::Q8_0 => Some(7),
            Self::Q5_0 => Some(8),
            Self::Q5_1 => Some(9),
            Self::Q2_K => Some(10),
            Self::Q3_K => Some(11),
            Self::Q4_K => Some(14),
            Self::Q5_K => Some(16),
            Self::Q6_K => Some(18),
            Self::IQ4_NL => Some(25),
            Self::IQ4_XS => Some(30),
            Self::BF16 => Some(32),
            _ => None,
        }
    }

    fn row(self) -> &'static (Self, u32, &'static str, usize, usize) {
        TABLE.iter().find(|row| row.0 == self).expect("every type has its row")
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    /// Reads a GGUF name or an everyday one; upper and lower case, `-` and `_` are the same.
    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim().to_ascii_lowercase().replace('-', "_");
        let by_name = TABLE.iter().find(|row| row.2.eq_ignore_ascii_case(&wanted)).map(|row| row.0);
        let by_alias = || ALIASES.iter().find(|(alias, _)| *alias == wanted).map(|(_, dtype)| *dtype);
        by_name.or_else(by_alias).ok_or_else(|| Error::UnknownDType { name: name.to_owned() })
    }
}

impl Serialize for DType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_its_code_and_its_name() {
        for dtype in DType::all() {
            assert_eq!(DType::from_code(dtype.code()), Some(dtype));
            assert_eq!(dtype.name().parse::<DType>().unwrap(), dtype);
        }
    }

    #[test]
    fn withdrawn_and_future_codes_are_unknown() {
        for code in [4, 5, 31, 32, 33, 36, 37, 38, 1000, u32::MAX] {
            assert_eq!(DType::from_code(code), None);
        }
    }

    #[test]
    fn bits_per_weight_counts_the_scales() {
        assert_eq!(DType::Q8_0.bits_per_weight(), 8.5);
        assert_eq!(DType::Q4_K.bits_per_weight(), 4.5);
        assert_eq!(DType::Q6_K.bits_per_weight(), 6.5625);
        assert_eq!(DType::F16.bits_per_weight(), 16.0);
    }

    #[test]
    fn bytes_of_a_shape_is_none_when_it_overflows_or_does_not_divide() {
        assert_eq!(DType::Q4_K.bytes_of(&[2, 512]), Some(576));
        assert_eq!(DType::Q4_K.bytes_of(&[2, 300]), None);
        assert_eq!(DType::F32.bytes_of(&[1 << 32, 1 << 32]), None);
        assert_eq!(DType::F32.bytes_of(&[usize::MAX]), None);
        assert_eq!(DType::F32.bytes_of(&[0, 8]), Some(0));
    }

    #[test]
    fn mixtures_are_not_taken_for_a_type() {
        for name in ["q4_k_m", "Q4_K_S", "Q5_K_M"] {
            assert!(matches!(name.parse::<DType>(), Err(Error::UnknownDType { .. })), "{name}");
        }
    }

    #[test]
    fn unknown_name_is_refused_with_a_hint() {
        let error = "int3".parse::<DType>().unwrap_err();
        assert!(error.to_string().contains("`int3`"));
    }
}
