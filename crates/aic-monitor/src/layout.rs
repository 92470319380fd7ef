//! How the cores of this machine differ, as Linux tells in files (elsewhere it is unknown).
use std::fs;
use std::path::Path;

/// What matters to a program that keeps its threads on certain cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether some cores are made to be faster than others.
    pub(crate) hybrid: Option<bool>,
    /// Groups of cores with a memory of their own.
    pub(crate) numa_nodes: Option<usize>,
}

impl Layout {
    pub(crate) fn detect() -> Self {
        Self::of(Path::new("/sys/devices"))
    }

    fn of(devices: &Path) -> Self {
        let nodes = fs::read_to_string(devices.join("system/node/has_cpu")).ok();
        Self {
            hybrid: capacities_differ(&devices.join("system/cpu")).or_else(|| has_core_types(devices)),
            numa_nodes: nodes.and_then(|nodes| count(nodes.trim())),
        }
    }
}

/// By the capacities of cores: Arm, and newer kernels on other hybrid processors.
fn capacities_differ(cpus: &Path) -> Option<bool> {
    let capacity = |entry: fs::DirEntry| {
        fs::read_to_string(entry.path().join("cpu_capacity")).ok()?.trim().parse::<u64>().ok()
    };
    let mut capacities = fs::read_dir(cpus).ok()?.flatten().filter_map(capacity);
    let first = capacities.next()?;
    Some(capacities.any(|capacity| capacity != first))
}

/// By the counters of each type of core: Intel.
fn has_core_types(devices: &Path) -> Option<bool> {
    let is_there = |name| devices.join(name).exists();
    match (is_there("cpu_core") && is_there("cpu_atom"), is_there("cpu")) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

/// How many numbers a list such as `0-1,4` has; `None` if it is none.
fn count(list: &str) -> Option<usize> {
    list.split(',').try_fold(0_usize, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(devices: &Path, file: &str, text: &str) {
        let path = devices.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn cores_of_different_capacity_make_a_hybrid() {
        for (second, hybrid) in [("1024", false), ("512", true)] {
            let devices = tempfile::tempdir().unwrap();
            write(devices.path(), "system/cpu/cpu0/cpu_capacity", "1024\n");
            write(devices.path(), "system/cpu/cpu1/cpu_capacity", second);
            assert_eq!(Layout::of(devices.path()), Layout { hybrid: Some(hybrid), numa_nodes: None });
        }
    }

    #[test]
    fn counters_of_two_types_of_cores_make_a_hybrid() {
        let devices = tempfile::tempdir().unwrap();
        assert_eq!(Layout::of(devices.path()), Layout::default());
        write(devices.path(), "cpu/type", "4");
        assert_eq!(Layout::of(devices.path()).hybrid, Some(false));
        write(devices.path(), "cpu_core/type", "4");
        write(devices.path(), "cpu_atom/type", "10");
        assert_eq!(Layout::of(devices.path()).hybrid, Some(true));
    }

    #[test]
    fn nodes_are_counted_and_nonsense_is_unknown() {
        for (list, nodes) in
            [("0", Some(1)), ("0-1\n", Some(2)), ("0-1,4", Some(3)), ("", None), ("3-1", None)]
        {
            let devices = tempfile::tempdir().unwrap();
            write(devices.path(), "system/node/has_cpu", list);
            assert_eq!(Layout::of(devices.path()).numa_nodes, nodes, "{list}");
        }
    }
}
