//! One small file for each door that two crates meet at.
mod device_memory;
mod embedder;
mod local_provider;
mod objective;
mod ollama_options;
mod pressure;
mod readings;
mod source;
mod target;

pub use device_memory::MachineMemory;
pub use embedder::LocalEmbedder;
pub use objective::BenchObjective;
pub use target::ChatTarget;

pub(crate) use local_provider::LocalProvider;
pub(crate) use ollama_options::on_this_machine;
pub(crate) use pressure::MonitorPressure;
pub(crate) use readings::{Lifetime, Readings};
pub(crate) use source::MonitorSource;
