//! Limits of the control group this process lives in (Linux; elsewhere there are none).
//!
//! A limit on any ancestor holds, so each folder from the process's own up to the root is read. Both versions are
//! understood: v2 (`memory.max`, `cpu.max`; `Documentation/admin-guide/cgroup-v2.rst` in the kernel) and v1
//! (`memory.limit_in_bytes`, `cpu.cfs_quota_us`).
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Absent, Memory};

/// Folders of the control group and its ancestors, the process's own first.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    v2: Vec<PathBuf>,
    v1_memory: Vec<PathBuf>,
    v1_cpu: Vec<PathBuf>,
}

impl Cgroup {
    /// This process's control group.
    pub(crate) fn of_self() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(&membership, Path::new("/sys/fs/cgroup"))
    }

    /// The folders under `root` that `membership`, the text of `/proc/self/cgroup`, names.
    fn find(membership: &str, root: &Path) -> Self {
        let mut found = Self::default();
        for (controllers, path) in membership.lines().filter_map(parse_membership) {
            if controllers.is_empty() {
                found.v2 = ancestry(root, path);
            } else if controllers.split(',').any(|name| name == "memory") {
                found.v1_memory = ancestry(&root.join("memory"), path);
            } else if controllers.split(',').any(|name| name == "cpu") {
                found.v1_cpu = ancestry(&root.join(controllers), path);
            }
        }
        found
    }

    /// The smallest limit and the smallest rest under any limit; `None` where nothing limits.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let v2 = self.v2.iter().filter_map(|folder| memory_of(folder, V2_MEMORY));
        let v1 = self.v1_memory.iter().filter_map(|folder| memory_of(folder, V1_MEMORY));
        v2.chain(v1).reduce(Memory::within)
    }

    /// How many cores may be used at once, by quota; `None` where nothing limits.
    pub(crate) fn cpu_cores(&self) -> Option<f64> {
        let v2 = self.v2.iter().filter_map(|folder| parse_cpu_max(&read(folder, "cpu.max")?).ok()?);
        let v1 = self.v1_cpu.iter().filter_map(|folder| {
            let (quota, period) = (read(folder, "cpu.cfs_quota_us")?, read(folder, "cpu.cfs_period_us")?);
            parse_cpu_max(&format!("{} {}", quota.trim(), period.trim())).ok()?
        });
        v2.chain(v1).reduce(f64::min)
    }
}

/// Names of the files with the limit and the usage, and of the line in `memory.stat` with the file cache that
/// can be dropped at once.
type MemoryFiles = (&'static str, &'static str, &'static str);
const V2_MEMORY: MemoryFiles = ("memory.max", "memory.current", "inactive_file");
const V1_MEMORY: MemoryFiles = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");

/// Usage without idle file cache is the working set, as the kubelet counts it.
fn memory_of(folder: &Path, (limit, usage, inactive): MemoryFiles) -> Option<Memory> {
    let limit = parse_limit(&read(folder, limit)?).ok()??;
    let usage = parse_limit(&read(folder, usage)?).ok()??;
    let idle = read(folder, "memory.stat").and_then(|text| parse_stat(&text, inactive)).unwrap_or(0);
    Some(Memory::new(limit, limit.saturating_sub(usage.saturating_sub(idle))))
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

/// `root/a/b`, `root/a` and `root` for the path `/a/b`; parts that would leave `root` are ignored.
fn ancestry(root: &Path, path: &str) -> Vec<PathBuf> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    (0..=parts.len()).rev().map(|depth| root.join(parts[..depth].join("/"))).collect()
}

/// Controllers and path of one line `hierarchy:controllers:path`; v2 has no controllers.
fn parse_membership(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    rest.split_once(':')
}

/// A number of bytes, or `None` for `max`.
fn parse_limit(text: &str) -> Result<Option<u64>, Absent> {
    match text.trim() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| Absent::Malformed),
    }
}

/// The number on the line of `memory.stat` that begins with `name`.
fn parse_stat(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Cores from `quota period`, both in microseconds; no limit for the quota `max` (v2) or `-1` (v1).
fn parse_cpu_max(text: &str) -> Result<Option<f64>, Absent> {
    let (quota, period) = text.trim().split_once(' ').ok_or(Absent::Malformed)?;
    if quota == "max" || quota == "-1" {
        return Ok(None);
    }
    let quota: u32 = quota.parse().map_err(|_| Absent::Malformed)?;
    let period: u32 = period.trim().parse().map_err(|_| Absent::Malformed)?;
    if period == 0 { Err(Absent::Malformed) } else { Ok(Some(f64::from(quota) / f64::from(period))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn limit_of_an_ancestor_holds_and_idle_cache_is_not_used_memory() {
        let root = folder(&[
            ("pod/app/memory.max", "max\n"),
            ("pod/app/memory.current", "100\n"),
            ("pod/memory.max", "1000\n"),
            ("pod/memory.current", "700\n"),
            ("pod/memory.stat", "anon 100\ninactive_file 200\nactive_file 1\n"),
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/app/cpu.max", "max 100000\n"),
        ]);

        let cgroup = Cgroup::find("0::/pod/app\n", root.path());

        assert_eq!(cgroup.memory(), Some(Memory::new(1000, 500)));
        assert_eq!(cgroup.cpu_cores(), Some(1.5));
    }

    #[test]
    fn version_one_is_read_from_its_own_hierarchies() {
        let root = folder(&[
            ("memory/box/memory.limit_in_bytes", "4096\n"),
            ("memory/box/memory.usage_in_bytes", "1024\n"),
            ("cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n"),
            ("cpu,cpuacct/box/cpu.cfs_period_us", "100000\n"),
        ]);

        let cgroup = Cgroup::find("4:memory:/box\n1:cpu,cpuacct:/box\n0::/\n", root.path());

        assert_eq!(cgroup.memory(), Some(Memory::new(4096, 3072)));
        assert_eq!(cgroup.cpu_cores(), Some(0.5));
    }

    #[test]
    fn without_files_or_with_damaged_ones_nothing_limits() {
        let empty = folder(&[]);
        let damaged = folder(&[("memory.max", "lots"), ("memory.current", "1"), ("cpu.max", "1 0")]);

        for root in [empty, damaged] {
            let cgroup = Cgroup::find("0::/\nnonsense\n", root.path());
            assert_eq!(cgroup.memory(), None);
            assert_eq!(cgroup.cpu_cores(), None);
        }
    }

    #[test]
    fn malformed_numbers_are_told_from_no_limit() {
        assert_eq!(parse_limit("max\n"), Ok(None));
        assert_eq!(parse_limit("-5"), Err(Absent::Malformed));
        assert_eq!(parse_limit(""), Err(Absent::Malformed));
        assert_eq!(parse_cpu_max("-1 100000"), Ok(None));
        assert_eq!(parse_cpu_max("max"), Err(Absent::Malformed));
        assert_eq!(parse_cpu_max("12 x"), Err(Absent::Malformed));
    }

    #[test]
    fn a_path_never_leads_out_of_the_root() {
        let folders = ancestry(Path::new("/r"), "/../../etc");

        assert_eq!(folders, [Path::new("/r/etc"), Path::new("/r")]);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,64}") {
            let _ = (parse_limit(&text), parse_cpu_max(&text), parse_stat(&text, "anon"), parse_membership(&text));
        }
    }
}
