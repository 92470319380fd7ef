//! The machine's description behind quant's door: how much memory each device has.
use aic_monitor::Machine;
use aic_quant::{Device, DeviceMemory, Memory};

/// What the monitor says of main memory and of NVIDIA GPUs, asked anew each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineMemory;

impl DeviceMemory for MachineMemory {
    fn memory(&self, device: Device) -> Option<Memory> {
        let machine = Machine::detect();
        let memory = match device {
            Device::Cpu => machine.memory?,
            Device::Cuda(index) => machine.gpus().iter().find(|gpu| gpu.index as usize == index)?.memory?,
            _ => return None,
        };
        Some(Memory { total_bytes: memory.total_bytes, free_bytes: memory.available_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_memory_is_known_and_a_gpu_that_is_not_there_is_not() {
        let main = MachineMemory.memory(Device::Cpu).unwrap();

        assert!(main.free_bytes > 0 && main.free_bytes <= main.total_bytes);
        assert_eq!(MachineMemory.memory(Device::Cuda(99)), None);
    }
}
