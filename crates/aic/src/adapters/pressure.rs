//! The monitor's readings behind quant's door: how busy the machine is.
use aic_monitor::{Monitor, Snapshot};
use aic_quant::queue::{Pressure, Readings};

/// The latest snapshot of a monitor.
#[derive(Debug)]
pub(crate) struct MonitorPressure {
    monitor: Monitor,
}

impl MonitorPressure {
    pub(crate) fn new(monitor: Monitor) -> Self {
        Self { monitor }
    }
}

impl Pressure for MonitorPressure {
    fn readings(&self) -> Readings {
        let snapshot = self.monitor.snapshot();
        let celsius = ["temperature_celsius", "gpu_temperature_celsius"];
        Readings {
            memory_used: highest(&snapshot, "memory_utilization_ratio"),
            memory_stall: stall(&snapshot, "memory"),
            cpu_stall: stall(&snapshot, "cpu"),
            vram_used: highest(&snapshot, "gpu_memory_utilization_ratio"),
            temperature_c: celsius
                .iter()
                .filter_map(|metric| highest(&snapshot, metric))
                .max_by(f64::total_cmp),
        }
    }
}

fn highest(snapshot: &Snapshot, metric: &str) -> Option<f64> {
    let known = snapshot.all(metric).filter_map(|reading| reading.value.ok());
    known.filter(|value| value.is_finite()).max_by(f64::total_cmp)
}

/// The share of time in which some task waited for `resource`.
fn stall(snapshot: &Snapshot, resource: &str) -> Option<f64> {
    let some = snapshot.all("pressure_stall_10s_ratio").find(|reading| {
        reading.labels.get("resource") == Some(resource) && reading.labels.get("kind") == Some("some")
    });
    some?.value.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_monitor_read_is_what_presses() {
        let monitor = Monitor::builder().build().unwrap();
        monitor.poll();
        let memory = monitor.snapshot().value("memory_utilization_ratio");

        let readings = MonitorPressure::new(monitor).readings();

        assert!(readings.memory_used.is_some_and(|used| (0.0..=1.0).contains(&used)));
        assert_eq!(readings.memory_used, memory);
    }
}
