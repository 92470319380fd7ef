use aic_monitor::Machine;

use crate::hardware::{Cpu, Gpu, Hardware, Memory};

impl Hardware {
    /// Looks at this machine, through `aic-monitor`. Takes milliseconds, or what a GPU driver needs to wake up.
    ///
    /// GPUs are found where `aic-monitor` is built with its feature `nvml`.
    pub fn detect() -> Self {
        Self::from(&Machine::detect())
    }
}

impl From<&Machine> for Hardware {
    fn from(machine: &Machine) -> Self {
        let memory = machine.memory.as_ref();
        Self {
            cpu: cpu(machine),
            memory: Memory {
                total_bytes: memory.map(|memory| memory.total_bytes),
                available_bytes: memory.map(|memory| memory.available_bytes),
            },
            gpus: machine.gpus().iter().map(gpu).collect(),
            os: machine.os.clone().unwrap_or_else(|| std::env::consts::OS.to_owned()),
        }
    }
}

fn cpu(machine: &Machine) -> Cpu {
    let processor = &machine.processor;
    Cpu {
        name: processor.brand.clone(),
        cores: cores(processor.physical_cores.or(processor.logical_cores), processor.limit_cores),
        hybrid: processor.hybrid,
        numa_nodes: processor.numa_nodes.and_then(|nodes| nodes.try_into().ok()),
        isa: processor.features.iter().map(|&feature| feature.to_owned()).collect(),
    }
}

/// The smaller of the cores there are and the cores this process may keep busy, but at least one.
fn cores(present: Option<usize>, limit: Option<f64>) -> Option<u32> {
    let limit = limit.map(|cores| (cores as u32).max(1));
    let present = present.and_then(|cores| u32::try_from(cores).ok());
    present.into_iter().chain(limit).min()
}

fn gpu(gpu: &aic_monitor::Gpu) -> Gpu {
    let memory = gpu.memory.as_ref();
    Gpu {
        name: gpu.name.clone().unwrap_or_else(|| format!("GPU {}", gpu.index)),
        total_bytes: memory.map(|memory| memory.total_bytes),
        free_bytes: memory.map(|memory| memory.available_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_below_the_cores_wins_and_is_never_rounded_to_none() {
        assert_eq!(cores(Some(8), Some(2.5)), Some(2));
        assert_eq!(cores(Some(8), Some(0.5)), Some(1));
        assert_eq!(cores(Some(2), Some(4.0)), Some(2));
        assert_eq!(cores(None, None), None);
    }

    #[test]
    fn this_machine_has_a_core_and_no_more_memory_free_than_there_is() {
        let here = Hardware::detect();

        assert!(here.cpu.cores.is_none_or(|cores| cores > 0));
        assert!(here.memory.available_bytes <= here.memory.total_bytes);
    }
}
