use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Probe, open};
use crate::rate::Rates;
use crate::{Absent, Moment, Reading, Result};

/// This process: `process_cpu_seconds_total`, `process_cpu_cores`, `process_resident_memory_bytes`,
/// `process_virtual_memory_bytes`, `process_open_files` and `process_uptime_seconds`.
///
/// `process_cpu_cores` is how many cores it kept busy since the last reading: 1.5 is one and a half.
#[derive(Debug, Default)]
pub struct ProcessProbe {
    system: Option<System>,
    cpu: Rates,
}

impl ProcessProbe {
    /// A probe of the process that it runs in.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Probe for ProcessProbe {
    fn name(&self) -> &str {
        "process"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let system = open(&mut self.system, "process", System::new)?;
        let pid = Pid::from_u32(std::process::id());
        let wanted = ProcessRefreshKind::nothing().without_tasks().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
        let process =
            system.process(pid).ok_or_else(|| crate::Error::probe("process", Absent::NotSupported))?;
        let cpu_seconds = process.accumulated_cpu_time() as f64 / 1000.0;
        let open_files = process.open_files().map(|count| count as f64).ok_or(Absent::NotSupported);
        Ok(vec![
            Reading::new("process_cpu_seconds_total", Ok(cpu_seconds), at),
            Reading::new("process_cpu_cores", self.cpu.update("", at.instant, cpu_seconds), at),
            Reading::new("process_resident_memory_bytes", Ok(process.memory() as f64), at),
            Reading::new("process_virtual_memory_bytes", Ok(process.virtual_memory() as f64), at),
            Reading::new("process_open_files", open_files, at),
            Reading::new("process_uptime_seconds", Ok(process.run_time() as f64), at),
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn a_process_sees_its_own_memory_and_cpu_time_grow() {
        let (mut probe, at) = (ProcessProbe::new(), Moment::of(&SystemClock));
        let value =
            |readings: &[Reading], metric| readings.iter().find(|r| r.metric == metric).unwrap().value;

        let first = probe.read(at).unwrap();
        let ballast = std::hint::black_box(vec![1_u8; 64 << 20]);
        let later = probe.read(Moment { instant: at.instant + Duration::from_secs(1), ..at }).unwrap();
        drop(ballast);

        let resident = |readings| value(readings, "process_resident_memory_bytes").unwrap();
        assert!(resident(&later) > resident(&first) + 32e6);
        assert_eq!(value(&first, "process_cpu_cores"), Err(Absent::FirstSample));
        assert!(value(&later, "process_cpu_cores").unwrap() >= 0.0);
    }
}
