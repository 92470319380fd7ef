use std::fmt;

use serde::{Serialize, Serializer};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, System};

use crate::cgroup::Cgroup;
use crate::layout::Layout;
use crate::reading::pretty_bytes;
use crate::{Absent, Memory, isa, probe};

/// What the machine is: found once, unlike readings. `None` is unknown.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// The operating system with its version.
    pub os: Option<String>,
    /// The architecture this program was compiled for, such as `x86_64` or `aarch64`.
    pub architecture: &'static str,
    /// The processor.
    pub processor: Processor,
    /// The memory this process may use: the machine's, within the limits of its control group.
    pub memory: Option<Memory>,
    /// The GPUs, in the driver's order, or why none are known. Found with the feature `nvml` only.
    #[serde(serialize_with = "gpus_or_reason")]
    pub gpus: Result<Vec<Gpu>, Absent>,
}

/// The processor of a machine.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Processor {
    /// The maker's name for it.
    pub brand: Option<String>,
    /// Cores in hardware.
    pub physical_cores: Option<usize>,
    /// Cores that the operating system schedules on.
    pub logical_cores: Option<usize>,
    /// How many cores this process may keep busy: the control group's quota, or the logical cores.
    pub limit_cores: Option<f64>,
    /// Whether some cores are made to be faster than others. Known on Linux.
    pub hybrid: Option<bool>,
    /// Groups of cores with a memory of their own (NUMA nodes), at least one. Known on Linux.
    pub numa_nodes: Option<usize>,
    /// Instruction sets that matter to inference, named as by the kernel: `avx2`, `avx512_vnni`, `amx_int8`, `neon`.
    pub features: Vec<&'static str>,
}

/// One GPU of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Gpu {
    /// Its number, as in the label `gpu` of the readings.
    pub index: u32,
    /// The maker's name for it.
    pub name: Option<String>,
    /// Its own memory; `None` also where it shares the processor's.
    pub memory: Option<Memory>,
    /// The CUDA compute capability, major and minor.
    pub compute_capability: Option<(u32, u32)>,
    /// The driver's version.
    pub driver: Option<String>,
}

impl Machine {
    /// Looks at this machine. Takes milliseconds, or what a GPU driver needs to wake up.
    pub fn detect() -> Self {
        let cgroup = Cgroup::of_self();
        let system = System::new().ok().map(|mut system| {
            system.refresh_cpu_list(CpuRefreshKind::nothing());
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            system
        });
        Self {
            os: System::long_os_version().ok(),
            architecture: std::env::consts::ARCH,
            memory: system.as_ref().and_then(|system| probe::effective_memory(system, &cgroup)),
            processor: Processor::detect(system.as_ref(), &cgroup),
            gpus: gpus(),
        }
    }

    /// The GPUs; none where they are unknown.
    pub fn gpus(&self) -> &[Gpu] {
        self.gpus.as_deref().unwrap_or_default()
    }
}

impl Processor {
    fn detect(system: Option<&System>, cgroup: &Cgroup) -> Self {
        let cpus = system.map(System::cpus).unwrap_or_default();
        let logical_cores = (!cpus.is_empty()).then_some(cpus.len());
        let brand = cpus.first().map(|cpu| cpu.brand().trim().to_owned());
        let logical = logical_cores.map(|cores| cores as f64);
        let Layout { hybrid, numa_nodes } = Layout::detect();
        Self {
            brand: brand.filter(|brand| !brand.is_empty()),
            physical_cores: System::physical_core_count().ok(),
            logical_cores,
            limit_cores: [cgroup.cpu_cores(), logical].into_iter().flatten().reduce(f64::min),
            hybrid,
            numa_nodes,
            features: isa::features(),
        }
    }

    /// Whether it has the instruction set `feature`, such as `avx2`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }
}

#[cfg(feature = "nvml")]
fn gpus() -> Result<Vec<Gpu>, Absent> {
    crate::nvml::gpus()
}

#[cfg(not(feature = "nvml"))]
fn gpus() -> Result<Vec<Gpu>, Absent> {
    Err(Absent::NotBuilt)
}

/// A list, or an object `{"absent": reason}`.
fn gpus_or_reason<S: Serializer>(gpus: &Result<Vec<Gpu>, Absent>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Shape<'a> {
        Known(&'a [Gpu]),
        Absent { absent: Absent },
    }
    match gpus {
        Ok(gpus) => Shape::Known(gpus),
        Err(absent) => Shape::Absent { absent: *absent },
    }
    .serialize(serializer)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = self.os.as_deref().unwrap_or("unknown");
        writeln!(f, "system     {os} ({})", self.architecture)?;
        writeln!(f, "processor  {}", self.processor)?;
        match &self.memory {
            Some(memory) => writeln!(f, "memory     {}", free_of(memory))?,
            None => writeln!(f, "memory     unknown")?,
        }
        match &self.gpus {
            Ok(gpus) if gpus.is_empty() => writeln!(f, "gpu        none"),
            Ok(gpus) => gpus.iter().try_for_each(|gpu| writeln!(f, "gpu {}      {gpu}", gpu.index)),
            Err(reason) => writeln!(f, "gpu        unknown: {reason}"),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: Option<usize>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        write!(f, "{}, ", self.brand.as_deref().unwrap_or("unknown"))?;
        write!(f, "{} cores, {} threads", number(self.physical_cores), number(self.logical_cores))?;
        match self.limit_cores {
            Some(limit) if self.logical_cores.is_some_and(|cores| limit < cores as f64) => {
                write!(f, ", limited to {limit}")?;
            }
            _ => {}
        }
        if self.hybrid == Some(true) {
            f.write_str(", some faster than others")?;
        }
        if let Some(nodes) = self.numa_nodes.filter(|nodes| *nodes > 1) {
            write!(f, ", {nodes} memory nodes")?;
        }
        if self.features.is_empty() { Ok(()) } else { write!(f, ", {}", self.features.join(" ")) }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name.as_deref().unwrap_or("unknown"))?;
        if let Some(memory) = &self.memory {
            write!(f, ", {}", free_of(memory))?;
        }
        if let Some((major, minor)) = self.compute_capability {
            write!(f, ", compute capability {major}.{minor}")?;
        }
        self.driver.iter().try_for_each(|driver| write!(f, ", driver {driver}"))
    }
}

fn free_of(memory: &Memory) -> String {
    let [free, total] = [memory.available_bytes, memory.total_bytes].map(|bytes| pretty_bytes(bytes as f64));
    format!("{free} free of {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_memory() {
        let machine = Machine::detect();

        let logical = machine.processor.logical_cores.unwrap();
        assert!(machine.processor.limit_cores.unwrap() <= logical as f64);
        assert!(machine.processor.numa_nodes.is_none_or(|nodes| nodes > 0));
        assert!(machine.memory.unwrap().total_bytes > 1 << 20);
        assert!(machine.to_string().lines().count() >= 4);
    }

    #[cfg(not(feature = "nvml"))]
    #[test]
    fn without_the_feature_gpus_are_unknown_and_not_none() {
        let machine = Machine::detect();

        assert_eq!(machine.gpus, Err(Absent::NotBuilt));
        assert!(machine.to_string().contains("gpu        unknown: built without support"));
    }

    #[test]
    fn what_is_unknown_about_a_gpu_is_left_out() {
        let gpu = Gpu {
            index: 0,
            name: Some("H200".into()),
            memory: None,
            compute_capability: Some((9, 0)),
            driver: None,
        };

        assert_eq!(gpu.to_string(), "H200, compute capability 9.0");
    }
}
