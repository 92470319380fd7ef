use serde::{Deserialize, Serialize};

/// A machine, as far as running models is concerned: plain data, whoever measured it.
///
/// Sizes that are not known are `None`, never zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hardware {
    /// The processor.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
    /// The GPUs a model may be put on; empty when there are none.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// The operating system, such as `linux`.
    pub os: String,
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cpu {
    /// The model's name, when known.
    pub name: Option<String>,
    /// Cores a program may use, when known; physical ones where they can be told from hardware threads.
    pub cores: Option<u32>,
    /// Instruction set extensions that matter to inference, in the words of the Linux kernel: `avx2`, `avx512_vnni`, `amx_int8`, `neon`.
    #[serde(default)]
    pub isa: Vec<String>,
}

/// Main memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Memory {
    /// All of it, or the limit of the container the program runs in; when known.
    pub total_bytes: Option<u64>,
    /// What a program can still take without swapping, when known.
    pub available_bytes: Option<u64>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gpu {
    /// The model's name.
    pub name: String,
    /// Its memory, when known.
    pub total_bytes: Option<u64>,
    /// What is left of it right now, when known.
    pub free_bytes: Option<u64>,
}

impl Hardware {
    /// Describes a machine without GPUs, its available memory unknown, running this program's operating system.
    pub fn new(cores: u32, memory_total_bytes: u64) -> Self {
        Self {
            cpu: Cpu { name: None, cores: Some(cores), isa: Vec::new() },
            memory: Memory { total_bytes: Some(memory_total_bytes), available_bytes: None },
            gpus: Vec::new(),
            os: std::env::consts::OS.to_owned(),
        }
    }

    /// Sets how many bytes of main memory a program can still take.
    #[must_use]
    pub fn memory_available(mut self, bytes: u64) -> Self {
        self.memory.available_bytes = Some(bytes);
        self
    }

    /// Sets the instruction set extensions, as in [`Cpu::isa`].
    #[must_use]
    pub fn isa<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.cpu.isa = names.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a GPU.
    #[must_use]
    pub fn gpu(mut self, gpu: Gpu) -> Self {
        self.gpus.push(gpu);
        self
    }

    /// The same machine for an engine that cannot use its GPUs.
    #[must_use]
    pub fn without_gpus(mut self) -> Self {
        self.gpus.clear();
        self
    }

    /// Whether the processor has an instruction set extension, by its name in [`Cpu::isa`].
    pub fn has_isa(&self, name: &str) -> bool {
        self.cpu.isa.iter().any(|known| known == name)
    }
}

impl Gpu {
    /// A GPU whose sizes are known.
    pub fn new(name: impl Into<String>, total_bytes: u64, free_bytes: u64) -> Self {
        Self { name: name.into(), total_bytes: Some(total_bytes), free_bytes: Some(free_bytes) }
    }

    /// A GPU of which only the name is known.
    pub fn unmeasured(name: impl Into<String>) -> Self {
        Self { name: name.into(), total_bytes: None, free_bytes: None }
    }
}
