use sysinfo::Networks;

use super::{Probe, open};
use crate::rate::Rates;
use crate::{Moment, Reading, Result};

/// For each interface, under the label `interface`: `network_receive_bytes_total`,
/// `network_transmit_bytes_total`, and their growth as `…_bytes_per_second`.
#[derive(Debug, Default)]
pub struct NetworkProbe {
    networks: Option<Networks>,
    received: Rates,
    transmitted: Rates,
}

impl NetworkProbe {
    /// A probe of all interfaces.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Probe for NetworkProbe {
    fn name(&self) -> &str {
        "network"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let networks = open(&mut self.networks, "network", Networks::new)?;
        networks.refresh(true);
        let mut readings = Vec::new();
        for (name, data) in &*networks {
            let name = name.to_string_lossy();
            let (received, transmitted) = (data.total_received() as f64, data.total_transmitted() as f64);
            let fields = [
                ("network_receive_bytes_total", Ok(received)),
                ("network_receive_bytes_per_second", self.received.update(&name, at.instant, received)),
                ("network_transmit_bytes_total", Ok(transmitted)),
                (
                    "network_transmit_bytes_per_second",
                    self.transmitted.update(&name, at.instant, transmitted),
                ),
            ];
            readings.extend(
                fields.map(|(metric, value)| Reading::new(metric, value, at).label("interface", &*name)),
            );
        }
        self.received.retain(at.instant);
        self.transmitted.retain(at.instant);
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Absent, SystemClock};

    #[test]
    fn first_rates_are_absent_and_second_ones_are_not_negative() {
        let (mut probe, at) = (NetworkProbe::new(), Moment::of(&SystemClock));
        let rates = |readings: Vec<Reading>| {
            readings
                .into_iter()
                .filter(|r| r.metric.ends_with("_per_second"))
                .map(|r| r.value)
                .collect::<Vec<_>>()
        };

        let first = rates(probe.read(at).unwrap());
        let later = rates(probe.read(Moment { instant: at.instant + Duration::from_secs(1), ..at }).unwrap());

        assert!(first.iter().all(|value| *value == Err(Absent::FirstSample)), "{first:?}");
        assert!(later.iter().all(|value| value.is_ok_and(|rate| rate >= 0.0)), "{later:?}");
    }
}
