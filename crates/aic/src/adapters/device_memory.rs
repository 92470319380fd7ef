//! The machine's description behind quant's door: how much memory each device has.
use aic_monitor::Machine;
use aic_quant::{Device, DeviceMemory, Memory, SystemMemory};

/// What the system says of main memory, and NVIDIA's driver of its GPUs; asked anew each time.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use aic::adapters::MachineMemory;
/// use aic::quant::{Device, DeviceLayers, Model};
///
/// // As many layers on the GPU as its free memory holds, the others on the processor.
/// let options = Model::options().device(Device::Cuda(0)).device_layers(DeviceLayers::Fitting);
/// let model = options.memory(Arc::new(MachineMemory)).open("model.gguf")?;
/// # Ok::<(), aic::quant::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MachineMemory;

impl DeviceMemory for MachineMemory {
    fn memory(&self, device: Device) -> Option<Memory> {
        // The driver is asked only about what is its own.
        let Device::Cuda(index) = device else { return SystemMemory.memory(device) };
        let machine = Machine::detect();
        let memory = machine.gpus().iter().find(|gpu| gpu.index as usize == index)?.memory?;
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
