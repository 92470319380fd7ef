//! One small file for each door that two crates meet at.
mod device_memory;
mod embedder;
mod local_provider;

mod readings;
mod source;


pub use embedder::LocalEmbedder;



pub(crate) use device_memory::MachineMemory;
pub(crate) use local_provider::LocalProvider;
pub(crate) use readings::Readings;
pub(crate) use source::MonitorSource;
