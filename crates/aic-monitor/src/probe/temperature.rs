use sysinfo::Components;

use super::{Probe, open};
use crate::{Absent, Moment, Reading, Result};

/// `temperature_celsius` of each sensor, under the label `sensor`.
///
/// Virtual machines and containers often have none; that is one reading without labels, [`Absent::NoDevice`].
#[derive(Debug, Default)]
pub struct TemperatureProbe {
    components: Option<Components>,
}

impl TemperatureProbe {
    /// A probe of all sensors.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Probe for TemperatureProbe {
    fn name(&self) -> &str {
        "temperature"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let components = open(&mut self.components, "temperature", Components::new)?;
        components.refresh(true);
        let mut readings: Vec<_> = components
            .iter()
            .map(|component| {
                let celsius = component.temperature().map(f64::from).ok_or(Absent::NotSupported);
                Reading::new("temperature_celsius", celsius, at).label("sensor", component.label())
            })
            .collect();
        if readings.is_empty() {
            readings.push(Reading::new("temperature_celsius", Err(Absent::NoDevice), at));
        }
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn a_machine_without_sensors_says_so() {
        let readings = TemperatureProbe::new().read(Moment::of(&SystemClock)).unwrap();

        let without_sensor = readings.iter().filter(|r| r.labels.is_empty());
        assert!(!readings.is_empty());
        assert!(without_sensor.into_iter().all(|r| r.value == Err(Absent::NoDevice)));
    }
}
