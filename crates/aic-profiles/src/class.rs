use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::hardware::Hardware;
use crate::level::Level;
use crate::profile::{GpuLayers, Settings};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const SIX_GIB: u64 = 6 * GIB;
const FORTY_EIGHT_GIB: u64 = 48 * GIB;

/// A rough size of machine, which decides the settings nobody chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// Less than 6 GiB of main memory, or an unknown amount: a single-board computer or a small virtual machine.
    Tiny,
    /// Less than 48 GiB of main memory.
    Laptop,
    /// 48 GiB of main memory or more.
    Workstation,
    /// A GPU with less than 20 GiB of memory, or of unknown size.
    GpuSmall,
    /// A GPU with 20 GiB of memory or more.
    GpuLarge,
}

impl Class {
    /// Every class, smallest first.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Laptop, Self::Workstation, Self::GpuSmall, Self::GpuLarge];

    /// The class of a machine, by its largest GPU or else by its main memory.
    pub fn of(hardware: &Hardware) -> Self {
        match hardware.gpus.iter().map(|gpu| gpu.total_bytes).max() {
            Some(Some(bytes)) if bytes >= 20 * GIB => Self::GpuLarge,
            Some(_) => Self::GpuSmall,
            None => Self::of_memory(hardware.memory.total_bytes.unwrap_or(0)),
        }
    }

    fn of_memory(bytes: u64) -> Self {
        match bytes {
            0..SIX_GIB => Self::Tiny,
            SIX_GIB..FORTY_EIGHT_GIB => Self::Laptop,
            _ => Self::Workstation,
        }
    }

    /// The name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Laptop => "laptop",
            Self::Workstation => "workstation",
            Self::GpuSmall => "gpu-small",
            Self::GpuLarge => "gpu-large",
        }
    }

    /// The settings of this class on a machine: one thread for each core, which stays there if cores differ, and sizes in step
    /// with the memory.
    pub fn settings(self, hardware: &Hardware) -> Settings {
        let (level, context_length, cache_bytes, max_concurrency) = match self {
            Self::Tiny => (Level::Q4_K, 2048, 16 * MIB, 1),
            Self::Laptop => (Level::Q8_0, 4096, 128 * MIB, 2),
            Self::Workstation => (Level::Q8_0, 8192, GIB, 4),
            Self::GpuSmall => (Level::Q4_K, 4096, 256 * MIB, 4),
            Self::GpuLarge => (Level::Q8_0, 16_384, GIB, 16),
        };
        Settings {
            level: Some(level),
            context_length: NonZeroU32::new(context_length),
            cache_bytes: Some(cache_bytes),
            max_concurrency: NonZeroU32::new(max_concurrency),
            threads: hardware.cpu.cores.and_then(NonZeroU32::new),
            pin_threads: hardware.unlike_cores().map(|_| true),
            gpu_layers: Some(self.gpu_layers()),
            ..Settings::default()
        }
    }

    fn gpu_layers(self) -> GpuLayers {
        match self {
            Self::Tiny | Self::Laptop | Self::Workstation => GpuLayers::Count(0),
            Self::GpuSmall | Self::GpuLarge => GpuLayers::All,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Gpu;

    #[test]
    fn a_machine_is_classed_by_its_largest_gpu_or_else_its_memory() {
        let machine = |gib: u64| Hardware::new(4, gib * GIB);

        assert_eq!(Class::of(&machine(2)), Class::Tiny);
        assert_eq!(Class::of(&machine(16)), Class::Laptop);
        assert_eq!(Class::of(&machine(48)), Class::Workstation);
        assert_eq!(Class::of(&machine(16).gpu(Gpu::unmeasured("some GPU"))), Class::GpuSmall);
        let two = machine(64).gpu(Gpu::new("small", 8 * GIB, GIB)).gpu(Gpu::new("large", 80 * GIB, 0));
        assert_eq!(Class::of(&two), Class::GpuLarge);
    }
}
