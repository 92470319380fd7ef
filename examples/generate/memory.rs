//! Who knows how much memory each device has: the system about main memory, the monitor about NVIDIA GPUs.
use aic::monitor::Machine;
use aic::quant::{Device, DeviceMemory, Memory, SystemMemory};

#[derive(Debug)]
pub(crate) struct Devices;

impl DeviceMemory for Devices {
    fn memory(&self, device: Device) -> Option<Memory> {
        let Device::Cuda(index) = device else { return SystemMemory.memory(device) };
        let machine = Machine::detect();
        let memory = machine.gpus().iter().find(|gpu| gpu.index as usize == index)?.memory?;
        Some(Memory { total_bytes: memory.total_bytes, free_bytes: memory.available_bytes })
    }
}
