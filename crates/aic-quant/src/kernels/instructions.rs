use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::packed;
use crate::{Error, Result};

/// The processor instructions that matrix products use.
///
/// The best that the processor has is found at run time; a lesser one can be asked for, to compare them or because a best one
/// misbehaves. Parses from and prints as `scalar`, `avx2`, `avx_vnni`, `avx512_vnni`, `amx`, `neon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// No special instructions: slow, but runs everywhere.
    Scalar,
    /// 128-bit vectors with 8-bit dot products, on 64-bit ARM: processors since 2018, all of Apple's.
    Neon,
    /// 256-bit vectors, with fused multiply-add and half-precision conversion; x86-64 since 2013.
    Avx2,
    /// 256-bit vectors as [`Avx2`](Self::Avx2) has them, with 8-bit dot products.
    AvxVnni,
    /// 512-bit vectors, with 8-bit dot products.
    Avx512Vnni,
    /// Matrix tiles of bfloat16, beside what [`Avx512Vnni`](Self::Avx512Vnni) has; Linux only.
    Amx,
}

impl InstructionSet {
    const ALL: [Self; 6] = [Self::Scalar, Self::Neon, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni, Self::Amx];

    /// The best that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(Self::Scalar))
    }

    /// All that this processor has, the best last.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|set| set.is_available()).collect()
    }

    /// This set if the processor has it, otherwise the best below it.
    pub(crate) fn available_or_less(self) -> Self {
        Self::available().into_iter().rfind(|set| *set <= self).unwrap_or(Self::Scalar)
    }

    /// Whether the processor has the instructions and, of those that few machines have, whether they gave the right results
    /// when they were tried, which they are once.
    fn is_available(self) -> bool {
        static TRIED: [OnceLock<bool>; InstructionSet::ALL.len()] =
            [const { OnceLock::new() }; InstructionSet::ALL.len()];
        let common = matches!(self, Self::Scalar | Self::Avx2);
        self.exists() && (common || *TRIED[self as usize].get_or_init(|| packed::try_out(self)))
    }

    /// Whether the processor has the instructions and the system lets them be used.
    fn exists(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => packed::Avx::<false>::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => packed::Avx::<true>::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => packed::Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => packed::Amx::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => packed::Neon::new().is_some(),
            _ => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx_vnni",
            Self::Avx512Vnni => "avx512_vnni",
            Self::Amx => "amx",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InstructionSet {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|set| set.name() == name.to_ascii_lowercase());
        found.ok_or_else(|| Error::Unsupported {
            what: "instruction set",
            name: name.to_owned(),
            supported: "scalar, neon, avx2, avx_vnni, avx512_vnni, amx",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_printing_and_parsing() {
        for set in InstructionSet::ALL {
            assert_eq!(set.to_string().parse::<InstructionSet>().unwrap(), set);
        }
        assert!("sse".parse::<InstructionSet>().is_err());
    }

    #[test]
    fn the_best_is_available_and_scalar_always_is() {
        let available = InstructionSet::available();
        assert!(available.contains(&InstructionSet::Scalar));
        assert_eq!(available.last(), Some(&InstructionSet::best()));
    }
}
