use sysinfo::{MemoryRefreshKind, System};

use super::{Probe, open};
use crate::cgroup::Cgroup;
use crate::{Absent, Memory, Moment, Reading, Result};

/// `memory_total_bytes`, `memory_available_bytes`, `memory_used_bytes`, `memory_utilization_ratio`,
/// `swap_total_bytes` and `swap_used_bytes`.
///
/// Inside a control group with a limit, memory is what the limit and its ancestors' leave of the machine's.
/// Swap is always the machine's. Used is total less available, so file cache that can be dropped is not used.
#[derive(Debug)]
pub struct MemoryProbe {
    system: Option<System>,
    cgroup: Cgroup,
}

impl MemoryProbe {
    /// A probe of this machine and this process's control group.
    pub fn new() -> Self {
        Self { system: None, cgroup: Cgroup::of_self() }
    }
}

impl Default for MemoryProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for MemoryProbe {
    fn name(&self) -> &str {
        "memory"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let system = open(&mut self.system, "memory", System::new)?;
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let memory = effective(system, &self.cgroup).ok_or(Absent::NotSupported);
        let bytes = |of: fn(&Memory) -> u64| memory.map(|memory| of(&memory) as f64);
        let ratio = memory.and_then(|memory| memory.utilization_ratio().ok_or(Absent::NotSupported));
        let swap_used = system.total_swap().saturating_sub(system.free_swap());
        Ok(vec![
            Reading::new("memory_total_bytes", bytes(|memory| memory.total_bytes), at),
            Reading::new("memory_available_bytes", bytes(|memory| memory.available_bytes), at),
            Reading::new("memory_used_bytes", bytes(Memory::used_bytes), at),
            Reading::new("memory_utilization_ratio", ratio, at),
            Reading::new("swap_total_bytes", Ok(system.total_swap() as f64), at),
            Reading::new("swap_used_bytes", Ok(swap_used as f64), at),
        ])
    }
}

/// The refreshed machine's memory within the limits of `cgroup`; `None` where the machine does not tell.
pub(crate) fn effective(system: &System, cgroup: &Cgroup) -> Option<Memory> {
    let host = Memory::new(system.total_memory(), system.available_memory());
    let limited = cgroup.memory().map_or(host, |limit| host.within(limit));
    (host.total_bytes > 0).then_some(limited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn parts_of_the_memory_add_up() {
        let readings = MemoryProbe::new().read(Moment::of(&SystemClock)).unwrap();

        let value = |metric: &str| readings.iter().find(|r| r.metric == metric).unwrap().value.unwrap();
        let (total, available) = (value("memory_total_bytes"), value("memory_available_bytes"));
        assert!(total > 0.0 && available <= total);
        assert_eq!(value("memory_used_bytes"), total - available);
        assert!((0.0..=1.0).contains(&value("memory_utilization_ratio")));
    }
}
