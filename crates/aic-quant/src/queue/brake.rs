//! When background work is in the way.
use std::fmt;
use std::fs;
use std::path::PathBuf;

use sysinfo::{Component, Components};

use crate::{Device, DeviceMemory, Error, Memory, Result, SystemMemory};

/// A door: who knows how busy the machine is.
pub trait Pressure: fmt::Debug + Send + Sync + 'static {
    /// What is known now.
    fn readings(&self) -> Readings;
}

/// How busy the machine is. What is not known is `None` and never pauses anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// The share of main memory that is in use, 0 to 1.
    pub memory_used: Option<f64>,
    /// The share of the last ten seconds in which some task waited for memory, 0 to 1.
    pub memory_stall: Option<f64>,
    /// The share of the last ten seconds in which some task waited for a processor, 0 to 1.
    pub cpu_stall: Option<f64>,
    /// The share of the fullest GPU's memory that is in use, 0 to 1.
    pub vram_used: Option<f64>,
    /// The hottest sensor of processor or GPU, in °C.
    pub temperature_c: Option<f64>,
}

/// When to pause and when to go on: each reading pauses the work above its first number, and lets it go on below its second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Defaults to 0.92 and 0.85.
    pub memory_used: (f64, f64),
    /// Defaults to 0.10 and 0.02.
    pub memory_stall: (f64, f64),
    /// Defaults to 0.60 and 0.25.
    pub cpu_stall: (f64, f64),
    /// Defaults to 0.95 and 0.90.
    pub vram_used: (f64, f64),
    /// Defaults to 90 and 80.
    pub temperature_c: (f64, f64),
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            memory_used: (0.92, 0.85),
            memory_stall: (0.10, 0.02),
            cpu_stall: (0.60, 0.25),
            vram_used: (0.95, 0.90),
            temperature_c: (90.0, 80.0),
        }
    }
}

/// Asks the operating system: memory, Linux's pressure stall information, sensors. Knows nothing about GPUs.
#[derive(Clone, Debug)]
pub struct SystemPressure {
    /// Where the kernel tells of stalls.
    folder: PathBuf,
}

impl Default for SystemPressure {
    fn default() -> Self {
        Self { folder: PathBuf::from("/proc/pressure") }
    }
}

impl Pressure for SystemPressure {
    fn readings(&self) -> Readings {
        Readings {
            memory_used: SystemMemory.memory(Device::Cpu).map(used),
            memory_stall: self.stall("memory"),
            cpu_stall: self.stall("cpu"),
            vram_used: None,
            temperature_c: hottest(),
        }
    }
}

impl SystemPressure {
    fn stall(&self, what: &str) -> Option<f64> {
        some_of_ten_seconds(&fs::read_to_string(self.folder.join(what)).ok()?)
    }
}

fn used(memory: Memory) -> f64 {
    1.0 - memory.free_bytes as f64 / memory.total_bytes.max(1) as f64
}

/// The share in a line such as `some avg10=1.53 avg60=0.87 avg300=0.20 total=123`.
fn some_of_ten_seconds(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f64 = line.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()?;
    Some(percent / 100.0)
}

fn hottest() -> Option<f64> {
    let components = Components::new_with_refreshed_list().ok()?;
    let temperatures = components.iter().filter_map(Component::temperature);
    temperatures.map(f64::from).filter(|celsius| celsius.is_finite()).max_by(f64::total_cmp)
}

/// On or off, with a distance between the two so that it does not flutter.
#[derive(Debug)]
pub(super) struct Brake {
    thresholds: Thresholds,
    /// Which readings press, in the order of [`Brake::scales`].
    pressed: [bool; 5],
}

impl Brake {
    pub(super) fn new(thresholds: Thresholds) -> Result<Self> {
        let brake = Self { thresholds, pressed: [false; 5] };
        let scales = brake.scales(&Readings::default());
        match scales
            .iter()
            .find(|(_, (pause, resume), _)| resume > pause || pause.is_nan() || resume.is_nan())
        {
            None => Ok(brake),
            Some((option, (pause, resume), _)) => Err(Error::Option {
                option,
                value: format!("{pause} and {resume}"),
                expected: "a second number that is not above the first",
            }),
        }
    }

    /// What presses now; `None` if work may go on.
    pub(super) fn decide(&mut self, readings: &Readings) -> Option<String> {
        let scales = self.scales(readings);
        for (pressed, (_, (pause, resume), reading)) in self.pressed.iter_mut().zip(scales) {
            *pressed =
                reading.is_some_and(|reading| if *pressed { reading >= resume } else { reading > pause });
        }
        let pressing = self.pressed.iter().zip(scales).find(|(pressed, _)| **pressed);
        pressing.map(|(_, (name, (_, resume), reading))| {
            format!("{name} is {:.2}, waiting for {resume:.2}", reading.unwrap_or_default())
        })
    }

    fn scales(&self, readings: &Readings) -> [(&'static str, (f64, f64), Option<f64>); 5] {
        let thresholds = &self.thresholds;
        [
            ("memory_used", thresholds.memory_used, readings.memory_used),
            ("memory_stall", thresholds.memory_stall, readings.memory_stall),
            ("cpu_stall", thresholds.cpu_stall, readings.cpu_stall),
            ("vram_used", thresholds.vram_used, readings.vram_used),
            ("temperature_c", thresholds.temperature_c, readings.temperature_c),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brake_holds_until_the_reading_is_below_the_second_number() {
        let mut brake = Brake::new(Thresholds::default()).unwrap();
        let mut pressed = |memory: f64| {
            let readings = Readings { memory_used: Some(memory), ..Readings::default() };
            brake.decide(&readings).is_some()
        };
        assert_eq!(
            [0.90, 0.93, 0.90, 0.86, 0.84, 0.90].map(&mut pressed),
            [false, true, true, true, false, false]
        );
    }

    #[test]
    fn every_reading_can_press_and_says_so_and_an_unknown_one_never_does() {
        let mut brake = Brake::new(Thresholds::default()).unwrap();
        assert_eq!(brake.decide(&Readings::default()), None);
        let none = Readings::default();
        for (name, readings) in [
            ("memory_used", Readings { memory_used: Some(0.99), ..none }),
            ("memory_stall", Readings { memory_stall: Some(0.5), ..none }),
            ("cpu_stall", Readings { cpu_stall: Some(0.9), ..none }),
            ("vram_used", Readings { vram_used: Some(0.97), ..none }),
            ("temperature_c", Readings { temperature_c: Some(95.0), ..none }),
        ] {
            assert!(brake.decide(&readings).unwrap().starts_with(name));
            assert_eq!(brake.decide(&none), None);
        }
    }

    #[test]
    fn thresholds_that_contradict_each_other_are_refused() {
        let wrong = Thresholds { vram_used: (0.8, 0.9), ..Thresholds::default() };
        assert!(matches!(Brake::new(wrong), Err(Error::Option { option: "vram_used", .. })));
    }

    #[test]
    fn pressure_of_the_kernel_is_read_as_a_share() {
        let text = "some avg10=1.50 avg60=0.87 avg300=0.20 total=123\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=5\n";
        assert_eq!(some_of_ten_seconds(text), Some(0.015));
        assert_eq!(some_of_ten_seconds("full avg10=9.00"), None);
    }
}
