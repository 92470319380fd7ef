//! Readings of CPU, memory, disk, network, GPU and process, with a short history.
//!
//! Start with [`Monitor::builder`]: it comes with the built-in probes, polls them in the background and keeps
//! the last minutes of every series. Ask [`Machine::detect`] what the hardware is. Implement [`Probe`] to add
//! readings of your own.
//!
//! A [`Reading`] is a value or the reason why there is none ([`Absent`]): a machine without a GPU has no GPU
//! temperature, which is not the same as 0 °C.
//!
//! ```
//! use std::time::Duration;
//! use aic_monitor::{Labels, Monitor};
//!
//! # fn main() -> aic_monitor::Result<()> {
//! let monitor = Monitor::builder().interval(Duration::from_secs(1)).build()?;
//! let running = monitor.start()?; // polls until `running` is dropped
//! # drop(running);
//!
//! println!("{}", monitor.poll()); // one round now, as a table
//! if let Some(ratio) = monitor.snapshot().value("memory_utilization_ratio") {
//!     println!("memory is {:.0} % full", ratio * 100.0);
//! }
//! let lately = monitor.summary("cpu_utilization_ratio", &Labels::new(), Duration::from_secs(300));
//! # let _ = lately;
//! # Ok(())
//! # }
//! ```
//!
//! Names are in base units, Prometheus style: `_bytes`, `_seconds`, `_celsius`, `_watts`, and `_ratio` from 0 to 1.
//! The monitor takes no measures against the host program: it raises no limits and never scans the process table.
mod absent;
mod builder;
mod cgroup;
mod clock;
mod error;
mod history;
mod isa;
mod labels;
mod layout;
mod machine;
mod memory;
mod monitor;
#[cfg(feature = "nvml")]
mod nvml;
pub mod probe;
mod rate;
mod reading;
mod slot;
mod snapshot;
mod state;
mod statistics;
mod worker;

pub use absent::Absent;
pub use builder::MonitorBuilder;
pub use clock::{Clock, Moment, SystemClock};
pub use error::{BoxError, Error, Result};
pub use history::Sample;
pub use labels::Labels;
pub use machine::{Gpu, Machine, Processor};
pub use memory::Memory;
pub use monitor::{Monitor, Running};
pub use probe::Probe;
pub use reading::Reading;
pub use snapshot::{Failure, Snapshot};
pub use statistics::{Summary, Trend};
