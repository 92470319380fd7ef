use std::time::Instant;

use sysinfo::{CpuRefreshKind, MINIMUM_CPU_UPDATE_INTERVAL, System};

use super::{Probe, open};
use crate::cgroup::Cgroup;
use crate::{Absent, Moment, Reading, Result};

/// `cpu_utilization_ratio`, `cpu_logical_cores` and `cpu_limit_cores`.
///
/// The utilization is that of the whole machine since the last reading, also inside a container. The limit is
/// the control group's quota, or the logical cores where there is none.
#[derive(Debug)]
pub struct CpuProbe {
    system: Option<System>,
    cgroup: Cgroup,
    last: Option<(Instant, Result<f64, Absent>)>,
}

impl CpuProbe {
    /// A probe of this machine and this process's control group.
    pub fn new() -> Self {
        Self { system: None, cgroup: Cgroup::of_self(), last: None }
    }

    /// The utilization since the last reading; the last one again where that is too near to be told apart.
    fn utilization(&mut self, at: Instant) -> Result<Result<f64, Absent>> {
        if let Some((then, ratio)) = self.last
            && at.saturating_duration_since(then) < MINIMUM_CPU_UPDATE_INTERVAL
        {
            return Ok(ratio);
        }
        let system = open(&mut self.system, "cpu", System::new)?;
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        let now = f64::from(system.global_cpu_usage()) / 100.0;
        let ratio = if self.last.is_some() { Ok(now.clamp(0.0, 1.0)) } else { Err(Absent::FirstSample) };
        self.last = Some((at, ratio));
        Ok(ratio)
    }

    fn logical_cores(&self) -> Result<f64, Absent> {
        let cores = self.system.as_ref().map_or(0, |system| system.cpus().len());
        if cores > 0 { Ok(cores as f64) } else { Err(Absent::NotSupported) }
    }
}

impl Default for CpuProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for CpuProbe {
    fn name(&self) -> &str {
        "cpu"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let utilization = self.utilization(at.instant)?;
        let logical = self.logical_cores();
        let limit = logical.map(|cores| self.cgroup.cpu_cores().map_or(cores, |quota| quota.min(cores)));
        Ok(vec![
            Reading::new("cpu_utilization_ratio", utilization, at),
            Reading::new("cpu_logical_cores", logical, at),
            Reading::new("cpu_limit_cores", limit, at),
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn first_utilization_is_absent_and_not_zero() {
        let (mut probe, at) = (CpuProbe::new(), Moment::of(&SystemClock));

        let first = probe.read(at).unwrap();
        let soon = probe.read(Moment { instant: at.instant + Duration::from_millis(10), ..at }).unwrap();
        let later = probe.read(Moment { instant: at.instant + Duration::from_secs(1), ..at }).unwrap();

        assert_eq!(first[0].value, Err(Absent::FirstSample));
        assert_eq!(soon[0].value, Err(Absent::FirstSample));
        assert!((0.0..=1.0).contains(&later[0].value.unwrap()));
        assert!(later[2].value.unwrap() <= later[1].value.unwrap());
    }
}
