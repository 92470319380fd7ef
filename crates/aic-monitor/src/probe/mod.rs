//! The door [`Probe`], and the built-in probes behind it.
use std::fmt;

use crate::{Absent, Moment, Reading, Result};

mod cpu;
mod disk;
mod load;
mod memory;
mod network;
mod pressure;
mod process;
mod temperature;

pub use cpu::CpuProbe;
pub use disk::DiskProbe;
pub use load::LoadProbe;
pub use memory::MemoryProbe;
pub(crate) use memory::effective as effective_memory;
pub use network::NetworkProbe;
pub use pressure::PressureProbe;
pub use process::ProcessProbe;
pub use temperature::TemperatureProbe;

#[cfg(feature = "nvml")]
pub use crate::nvml::NvmlProbe;

/// A source of current readings.
///
/// A monitor gives each probe of yours a thread of its own, so that one that hangs holds up no other.
pub trait Probe: fmt::Debug + Send + 'static {
    /// A short name, unique within a monitor.
    fn name(&self) -> &str;

    /// Reads all current values.
    ///
    /// `at` is the present; rates are to be taken over it and readings to be stamped with it. What is known to be
    /// missing is a reading with a reason ([`Absent`]), not an error and not left out.
    ///
    /// # Errors
    /// Where nothing could be read at all. The probe is asked again in the next round.
    fn read(&mut self, at: Moment) -> Result<Vec<Reading>>;
}

impl<P: Probe + ?Sized> Probe for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        (**self).read(at)
    }
}

/// The built-in probes that only ask the kernel for counters, and so return at once.
pub(crate) fn quick() -> Vec<Box<dyn Probe>> {
    vec![
        Box::new(CpuProbe::new()),
        Box::new(MemoryProbe::new()),
        Box::new(NetworkProbe::new()),
        Box::new(ProcessProbe::new()),
        Box::new(PressureProbe::new()),
        Box::new(LoadProbe::new()),
    ]
}

/// The built-in probes that ask a device, a driver or a remote file system, and so may hang.
pub(crate) fn slow() -> Vec<Box<dyn Probe>> {
    vec![
        Box::new(DiskProbe::new()),
        Box::new(TemperatureProbe::new()),
        #[cfg(feature = "nvml")]
        Box::new(NvmlProbe::new()),
    ]
}

/// The value in `slot`, made on first use.
fn open<'a, T>(
    slot: &'a mut Option<T>,
    probe: &str,
    make: impl FnOnce() -> Result<T, sysinfo::Error>,
) -> Result<&'a mut T> {
    let value = match slot.take() {
        Some(value) => value,
        None => make().map_err(|source| crate::Error::probe(probe, source))?,
    };
    Ok(slot.insert(value))
}

fn absent(error: &sysinfo::Error) -> Absent {
    match error {
        sysinfo::Error::Unsupported => Absent::NotSupported,
        sysinfo::Error::Io(error) => Absent::from_io(error),
        sysinfo::Error::Other(_) => Absent::Failed,
    }
}
