use sysinfo::System;

use super::{Probe, absent};
use crate::{Moment, Reading, Result};

/// `load_average` over one, five and fifteen minutes, under the label `window`.
#[derive(Debug, Default)]
pub struct LoadProbe;

impl LoadProbe {
    /// A probe of the system's load average.
    pub fn new() -> Self {
        Self
    }
}

impl Probe for LoadProbe {
    fn name(&self) -> &str {
        "load"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let load = System::load_average().map_err(|error| absent(&error));
        let load = load.map(|load| [load.one, load.five, load.fifteen]);
        let windows = ["1m", "5m", "15m"].into_iter().enumerate();
        let reading = |(i, window)| {
            Reading::new("load_average", load.map(|load: [f64; 3]| load[i]), at).label("window", window)
        };
        Ok(windows.map(reading).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn three_windows_are_read() {
        let readings = LoadProbe::new().read(Moment::of(&SystemClock)).unwrap();

        let windows: Vec<_> = readings.iter().map(|r| r.labels.get("window").unwrap()).collect();
        assert_eq!(windows, ["1m", "5m", "15m"]);
        assert!(readings.iter().all(|r| r.value.is_ok_and(|load| load >= 0.0)));
    }
}
