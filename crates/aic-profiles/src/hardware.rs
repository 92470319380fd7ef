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
    /// Whether some cores are made to be faster than others, when known.
    #[serde(default)]
    pub hybrid: Option<bool>,
    /// Groups of cores with a memory of their own (NUMA nodes), when known.
    #[serde(default)]
    pub numa_nodes: Option<u32>,
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
            cpu: Cpu { name: None, cores: Some(cores), hybrid: None, numa_nodes: None, isa: Vec::new() },
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

    /// Sets whether some cores are made to be faster than others.
    #[must_use]
    pub fn hybrid(mut self, hybrid: bool) -> Self {
        self.cpu.hybrid = Some(hybrid);
        self
    }

    /// Sets how many groups of cores have a memory of their own.
    #[must_use]
    pub fn numa_nodes(mut self, nodes: u32) -> Self {
        self.cpu.numa_nodes = Some(nodes);
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

    /// In what its cores differ, in words; `None` if they are alike, or nobody knows.
    pub(crate) fn unlike_cores(&self) -> Option<&'static str> {
        match (self.cpu.hybrid, self.cpu.numa_nodes) {
            (Some(true), _) => Some("some cores are faster than others"),
            (_, Some(2..)) => Some("its cores are near to different memories"),
            _ => None,
        }
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
