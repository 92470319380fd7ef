use std::path::PathBuf;
use std::thread;

use aic_quant::{DType, InstructionSet};

/// What is measured.
pub(crate) struct Options {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) prompt: usize,
    pub(crate) answer: usize,
    pub(crate) repeat: usize,
    pub(crate) threads: usize,
    pub(crate) types: Vec<DType>,
    pub(crate) instructions: InstructionSet,
    /// One engine, on a file that is there already.
    pub(crate) only: Option<(String, PathBuf)>,
    /// Once and small, to see that it runs.
    pub(crate) short: bool,
}

impl Options {
    /// What stands behind `--`; nonsense ends the program.
    pub(crate) fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let short = !arguments.iter().any(|argument| argument == "--bench");
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).map(String::as_str)
        };
        let number = |name: &str, standard: usize| {
            value(name).map_or(standard, |value| value.parse().expect("a number behind the option"))
        };
        let types = value("--types").unwrap_or("Q8_0,Q4_0,Q4_K,Q6_K,F16");
        Self {
            layers: number("--layers", if short { 1 } else { 4 }),
            hidden: if short { 256 } else { 2048 },
            feed_forward: if short { 512 } else { 8192 },
            prompt: number("--prompt", if short { 32 } else { 512 }),
            answer: number("--answer", if short { 4 } else { 64 }),
            repeat: number("--repeat", if short { 1 } else { 5 }),
            threads: number("--threads", thread::available_parallelism().map_or(1, usize::from)),
            types: types.split(',').map(|name| name.parse().expect("a tensor type")).collect(),
            instructions: value("--instructions")
                .map_or(InstructionSet::best(), |name| name.parse().expect("an instruction set")),
            only: value("--only").zip(value("--file")).map(|(engine, file)| (engine.to_owned(), file.into())),
            short,
        }
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What this process has in memory.
pub(crate) fn resident_bytes() -> u64 {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

    let Ok(mut system) = System::new() else { return 0 };
    let pid = Pid::from_u32(std::process::id());
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}
