//! NVIDIA GPUs, through the driver's library NVML, which is looked for at run time.
use std::time::{Duration, Instant};

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::{Absent, Gpu, Memory, Moment, Probe, Reading, Result};

/// How long after a failure the driver is looked for again.
const RETRY: Duration = Duration::from_secs(60);

type Gauge = fn(&Device<'_>) -> Result<f64, NvmlError>;

const GAUGES: [(&str, Gauge); 6] = [
    ("gpu_utilization_ratio", |device| Ok(f64::from(device.utilization_rates()?.gpu) / 100.0)),
    ("gpu_memory_total_bytes", |device| Ok(memory_of(device)?.total_bytes as f64)),
    ("gpu_memory_used_bytes", |device| Ok(memory_of(device)?.used_bytes() as f64)),
    ("gpu_memory_utilization_ratio", |device| Ok(memory_of(device)?.utilization_ratio().unwrap_or(f64::NAN))),
    ("gpu_temperature_celsius", |device| Ok(f64::from(device.temperature(TemperatureSensor::Gpu)?))),
    ("gpu_power_watts", |device| Ok(f64::from(device.power_usage()?) / 1000.0)),
];

/// For each NVIDIA GPU, under the label `gpu` (its number): `gpu_utilization_ratio` (the part of the time in which
/// something ran on it, not how much), `gpu_memory_total_bytes`, `gpu_memory_used_bytes`,
/// `gpu_memory_utilization_ratio`, `gpu_temperature_celsius` and `gpu_power_watts`.
///
/// Used memory includes what the driver keeps for itself. Without a driver each of these is one reading without
/// labels, [`Absent::NoDriver`]; without a GPU [`Absent::NoDevice`]. The driver is looked for again every minute.
#[derive(Debug, Default)]
pub struct NvmlProbe {
    library: Library,
}

#[derive(Debug, Default)]
enum Library {
    #[default]
    Unopened,
    Open(Box<Nvml>),
    Missing(Absent, Instant),
}

impl NvmlProbe {
    /// A probe of all NVIDIA GPUs.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Library {
    fn get(&mut self, now: Instant) -> Result<&Nvml, Absent> {
        let again = match self {
            Self::Unopened => true,
            Self::Open(_) => false,
            Self::Missing(_, since) => now.saturating_duration_since(*since) >= RETRY,
        };
        if again {
            *self = match Nvml::init() {
                Ok(nvml) => Self::Open(Box::new(nvml)),
                Err(error) => Self::Missing(absent(&error), now),
            };
        }
        match self {
            Self::Open(nvml) => Ok(nvml),
            Self::Missing(reason, _) => Err(*reason),
            Self::Unopened => Err(Absent::NoDriver),
        }
    }

    /// Lets go of an open library that has become useless: the driver may have been updated or reloaded.
    fn close(&mut self, reason: Absent, now: Instant) {
        if matches!(self, Self::Open(_)) {
            *self = Self::Missing(reason, now);
        }
    }
}

impl Probe for NvmlProbe {
    fn name(&self) -> &str {
        "nvml"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let answer = self.library.get(at.instant).and_then(|nvml| read_all(nvml, at));
        Ok(answer.unwrap_or_else(|reason| {
            self.library.close(reason, at.instant);
            all_absent(reason, at)
        }))
    }
}

fn count(nvml: &Nvml) -> Result<u32, Absent> {
    nvml.device_count().map_err(|error| absent(&error))
}

fn read_all(nvml: &Nvml, at: Moment) -> Result<Vec<Reading>, Absent> {
    match count(nvml)? {
        0 => Err(Absent::NoDevice),
        count => Ok((0..count).flat_map(|index| readings(nvml, index, at)).collect()),
    }
}

fn all_absent(reason: Absent, at: Moment) -> Vec<Reading> {
    GAUGES.map(|(metric, _)| Reading::new(metric, Err(reason), at)).into()
}

fn readings(nvml: &Nvml, index: u32, at: Moment) -> Vec<Reading> {
    let device = nvml.device_by_index(index).map_err(|error| absent(&error));
    let value = |gauge: Gauge| {
        device
            .as_ref()
            .map_err(|reason| *reason)
            .and_then(|device| gauge(device).map_err(|error| absent(&error)))
    };
    GAUGES
        .map(|(metric, gauge)| Reading::new(metric, value(gauge), at).label("gpu", index.to_string()))
        .into()
}

fn memory_of(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let info = device.memory_info()?;
    Ok(Memory::new(info.total, info.free))
}

/// The GPUs there are, or why none are known.
pub(crate) fn gpus() -> Result<Vec<Gpu>, Absent> {
    let nvml = Nvml::init().map_err(|error| absent(&error))?;
    let count = count(&nvml)?;
    Ok((0..count).map(|index| gpu(&nvml, index)).collect())
}

fn gpu(nvml: &Nvml, index: u32) -> Gpu {
    let device = nvml.device_by_index(index).ok();
    let device = device.as_ref();
    let capability = device.and_then(|device| device.cuda_compute_capability().ok());
    Gpu {
        index,
        name: device.and_then(|device| device.name().ok()),
        memory: device.and_then(|device| memory_of(device).ok()),
        compute_capability: capability
            .and_then(|c| Some((c.major.try_into().ok()?, c.minor.try_into().ok()?))),
        driver: nvml.sys_driver_version().ok(),
    }
}

/// The reason that stands for an error of the driver.
fn absent(error: &NvmlError) -> Absent {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded => {
            Absent::NoDriver
        }
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
            Absent::NotSupported
        }
        NvmlError::NoPermission | NvmlError::OperatingSystem => Absent::PermissionDenied,
        NvmlError::GpuLost | NvmlError::ResetRequired => Absent::Lost,
        NvmlError::NotFound => Absent::NoDevice,
        NvmlError::Timeout => Absent::Timeout,
        _ => Absent::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn each_driver_error_has_a_reason_and_none_a_value() {
        assert_eq!(absent(&NvmlError::DriverNotLoaded), Absent::NoDriver);
        assert_eq!(absent(&NvmlError::GpuLost), Absent::Lost);
        assert_eq!(absent(&NvmlError::OperatingSystem), Absent::PermissionDenied);
        assert_eq!(absent(&NvmlError::NotSupported), Absent::NotSupported);
        assert_eq!(absent(&NvmlError::Unknown), Absent::Failed);
    }

    #[test]
    fn with_or_without_a_gpu_every_metric_is_a_value_or_a_reason() {
        let mut probe = NvmlProbe::new();

        let readings = probe.read(Moment::of(&SystemClock)).unwrap();

        for (metric, _) in GAUGES {
            assert!(readings.iter().any(|reading| reading.metric == metric), "{metric}");
        }
        match gpus() {
            Ok(gpus) => assert!(gpus.is_empty() || readings[0].labels.get("gpu") == Some("0")),
            Err(reason) => assert!(readings.iter().all(|reading| reading.value == Err(reason))),
        }
    }
}
