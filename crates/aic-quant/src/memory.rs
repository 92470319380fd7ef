use std::fmt;
use std::sync::Arc;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::{Device, Error, Result};

/// How much memory a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What a program can still take, in bytes.
    pub free_bytes: u64,
}

/// A door: who knows how much memory each device has.
pub trait DeviceMemory: fmt::Debug + Send + Sync + 'static {
    /// The memory of `device` now, or `None` if it is not known.
    fn memory(&self, device: Device) -> Option<Memory>;
}

impl<T: DeviceMemory + ?Sized> DeviceMemory for Arc<T> {
    fn memory(&self, device: Device) -> Option<Memory> {
        (**self).memory(device)
    }
}

/// Asks the operating system about main memory, and respects the limit of the process's control group, where cached
/// files count as free; knows nothing about GPUs.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemMemory;

impl DeviceMemory for SystemMemory {
    fn memory(&self, device: Device) -> Option<Memory> {
        if device != Device::Cpu {
            return None;
        }
        let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted).ok()?;
        let (mut total_bytes, mut free_bytes) = (system.total_memory(), system.available_memory());
        if let Some(limits) = system.cgroup_limits() {
            total_bytes = total_bytes.min(limits.total_memory);
            free_bytes = free_bytes.min(limits.total_memory.saturating_sub(limits.rss));
        }
        (total_bytes > 0).then_some(Memory { total_bytes, free_bytes })
    }
}

/// Checks that `needed_bytes` fit what `memory` says `device` has free; passes if nobody knows.
///
/// # Errors
/// [`Error::DoesNotFit`] with both numbers.
pub fn fits(memory: &dyn DeviceMemory, device: Device, needed_bytes: u64) -> Result<()> {
    let Some(Memory { free_bytes, .. }) = memory.memory(device) else {
        tracing::debug!(%device, needed_bytes, "free memory is unknown, loading without a check");
        return Ok(());
    };
    if needed_bytes <= free_bytes {
        return Ok(());
    }
    Err(Error::DoesNotFit { device, needed_bytes, free_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Option<u64>);

    impl DeviceMemory for Fixed {
        fn memory(&self, _device: Device) -> Option<Memory> {
            self.0.map(|free_bytes| Memory { total_bytes: 1 << 30, free_bytes })
        }
    }

    #[test]
    fn need_beyond_what_is_free_is_an_error_with_both_numbers() {
        let error = fits(&Fixed(Some(100 << 20)), Device::Cpu, 300 << 20).unwrap_err().to_string();
        assert!(error.contains("300 MiB") && error.contains("100 MiB"), "{error}");
    }

    #[test]
    fn unknown_memory_is_not_zero_memory() {
        assert!(fits(&Fixed(None), Device::Cuda(0), u64::MAX).is_ok());
        assert!(fits(&Fixed(Some(10)), Device::Cpu, 10).is_ok());
    }

    #[test]
    fn the_system_has_main_memory_and_says_nothing_about_gpus() {
        let memory = SystemMemory.memory(Device::Cpu).unwrap();
        assert!(memory.free_bytes > 0 && memory.free_bytes <= memory.total_bytes);
        assert_eq!(SystemMemory.memory(Device::Cuda(0)), None);
    }
}
