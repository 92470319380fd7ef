use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Where a model's tensors live and are computed with.
///
/// Parses from and prints as `cpu`, `cuda:0`, `metal:0`; `cuda` alone means the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor and main memory.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number; needs a build with `RUSTFLAGS="--cfg aic_cuda"` and the CUDA toolkit.
    Cuda(usize),
    /// An Apple GPU by its number; built in on macOS.
    Metal(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal(ordinal) => write!(f, "metal:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wrong = || Error::Unsupported {
            what: "device",
            name: name.to_owned(),
            supported: "cpu, cuda, cuda:<number>, metal",
        };
        let (kind, ordinal) = name.split_once(':').unwrap_or((name, "0"));
        let ordinal = ordinal.parse().map_err(|_| wrong())?;
        match kind.to_ascii_lowercase().as_str() {
            "cpu" if ordinal == 0 => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(ordinal)),
            "metal" => Ok(Self::Metal(ordinal)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(feature = "engine")]
impl Device {
    /// An error that says why this device cannot be used.
    pub(crate) fn unavailable(self, reason: &str) -> Error {
        Error::Device { device: self, reason: reason.to_owned() }
    }
}

#[cfg(feature = "candle")]
impl Device {
    /// The tensor library's handle of the device.
    pub(crate) fn open(self) -> Result<candle_core::Device> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda(_) if !candle_core::utils::cuda_is_available() => Err(self.unavailable(
                "this build has no CUDA; rebuild with RUSTFLAGS=\"--cfg aic_cuda\", or use cpu",
            )),
            Self::Metal(_) if !candle_core::utils::metal_is_available() => {
                Err(self.unavailable("Metal is built in on macOS only; use cpu"))
            }
            Self::Cuda(ordinal) => {
                candle_core::Device::new_cuda(ordinal).map_err(|error| self.failed(&error))
            }
            Self::Metal(ordinal) => {
                candle_core::Device::new_metal(ordinal).map_err(|error| self.failed(&error))
            }
        }
    }

    fn failed(self, error: &candle_core::Error) -> Error {
        self.unavailable(&error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_printing_and_parsing() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3), Device::Metal(0)] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
    }

    #[test]
    fn nonsense_is_refused() {
        for name in ["", "gpu", "cuda:x", "cpu:1", "cuda:-1"] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
    }

    #[cfg(all(feature = "candle", not(aic_cuda)))]
    #[test]
    fn cuda_without_the_build_says_how_to_get_it() {
        let error = Device::Cuda(0).open().unwrap_err();
        assert!(error.to_string().contains("--cfg aic_cuda"), "{error}");
    }
}
