//! Which cores are parts of which, and how fast they are, as Linux tells in files. Elsewhere there are none, and all are alike.
use std::cmp::Reverse;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

const CORES: &str = "/sys/devices/system/cpu";

/// `cores` in the order to use them: one hardware thread of each physical core before a second of any, the fast ones first.
pub(super) fn best_first(cores: &[usize]) -> Vec<usize> {
    sorted(cores, Path::new(CORES))
}

fn sorted(cores: &[usize], folder: &Path) -> Vec<usize> {
    let key = |core: &usize| {
        let files = folder.join(format!("cpu{core}"));
        (siblings_before(*core, cores, &files), Reverse(speed(&files)), *core)
    };
    let mut sorted = cores.to_vec();
    sorted.sort_by_cached_key(key);
    sorted
}

/// How many of `cores` are parts of the same physical core and come before `core`.
fn siblings_before(core: usize, cores: &[usize], files: &Path) -> usize {
    let list = fs::read_to_string(files.join("topology/thread_siblings_list")).unwrap_or_default();
    let siblings: Vec<RangeInclusive<usize>> = list.trim().split(',').filter_map(range).collect();
    let is_sibling = |other: &&usize| siblings.iter().any(|range| range.contains(other));
    cores.iter().filter(|other| **other < core).filter(is_sibling).count()
}

/// `4` or `4-7`.
fn range(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// How fast a core is beside the others: its capacity where the system knows cores of several kinds, else its highest clock.
fn speed(files: &Path) -> u64 {
    number(&files.join("cpu_capacity"))
        .or_else(|| number(&files.join("cpufreq/cpuinfo_max_freq")))
        .unwrap_or(0)
}

fn number<N: FromStr>(file: &Path) -> Option<N> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine as its files describe it: of each core the siblings, and a file that tells its speed.
    fn machine(cores: &[(&str, &str, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (index, (siblings, file, speed)) in cores.iter().enumerate() {
            let files = folder.path().join(format!("cpu{index}"));
            fs::create_dir_all(files.join("topology")).unwrap();
            fs::create_dir_all(files.join("cpufreq")).unwrap();
            fs::write(files.join("topology/thread_siblings_list"), format!("{siblings}\n")).unwrap();
            fs::write(files.join(file), format!("{speed}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn a_second_thread_of_a_core_comes_after_all_cores() {
        let neighbours = ["0-1", "0-1", "2-3", "2-3"].map(|list| (list, "cpu_capacity", 1024));
        let halves = ["0,2", "1,3", "0,2", "1,3"].map(|list| (list, "cpu_capacity", 1024));
        assert_eq!(sorted(&[0, 1, 2, 3], machine(&neighbours).path()), [0, 2, 1, 3]);
        assert_eq!(sorted(&[0, 1, 2, 3], machine(&halves).path()), [0, 1, 2, 3]);
        assert_eq!(sorted(&[1, 2, 3], machine(&neighbours).path()), [1, 2, 3], "the first may not be used");
    }

    #[test]
    fn fast_cores_come_first_and_their_second_threads_last() {
        // Two fast cores with two threads each, and two slow ones.
        let lists = [("0-1", 5_000_000), ("0-1", 5_000_000), ("2", 4_000_000), ("3", 4_000_000)];
        let more = [("4-5", 5_200_000), ("4-5", 5_200_000)];
        let cores: Vec<_> = lists
            .into_iter()
            .chain(more)
            .map(|(list, clock)| (list, "cpufreq/cpuinfo_max_freq", clock))
            .collect();
        assert_eq!(sorted(&[0, 1, 2, 3, 4, 5], machine(&cores).path()), [4, 0, 2, 3, 5, 1]);
    }

    #[test]
    fn cores_of_which_nothing_is_known_keep_their_order() {
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(sorted(&[3, 0, 7], nothing.path()), [0, 3, 7]);
        let nonsense = machine(&[("x,1-", "cpu_capacity", 1), ("9-2", "cpu_capacity", 1)]);
        assert_eq!(sorted(&[0, 1], nonsense.path()), [0, 1]);
    }
}
