use core_affinity::CoreId;

use super::topology;

/// Which cores the threads of a model stay on.
///
/// These are the thread that answers and those that compute with it. Threads of the program that read a text themselves, as
/// [`Model::embed`](crate::Model::embed) does, are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// The system moves them as it sees fit. Best on most machines: a thread that must stay has to wait where something else
    /// runs.
    #[default]
    Free,
    /// Each stays on a core, one of every physical core before a second hardware thread of any, the fast ones first. For
    /// machines with cores of several kinds, or with several memories. Where there are more threads than cores, some share one.
    Spread,
    /// They stay on these cores, by the system's numbers: one on each in this order, and from the start again where there are
    /// more threads. Those that the program may not use are left out.
    Cores(Vec<usize>),
}

impl Affinity {
    /// The core of each of `threads` threads; empty where they are free.
    pub(crate) fn cores(&self, threads: usize) -> Vec<usize> {
        let cores = match self {
            Self::Free => Vec::new(),
            Self::Spread => topology::best_first(&allowed()),
            Self::Cores(wanted) => usable(wanted, &allowed()),
        };
        cores.iter().copied().cycle().take(threads).collect()
    }
}

/// Keeps this thread on `core`, one of those the program may use. Where the system refuses, it runs anywhere.
pub(crate) fn stay_on(core: usize) {
    if !core_affinity::set_for_current(CoreId { id: core }) {
        tracing::warn!(core, "the system does not keep a thread on this core; it runs on any");
    }
}

/// The cores the program may use; none where the system does not say.
fn allowed() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

fn usable(wanted: &[usize], allowed: &[usize]) -> Vec<usize> {
    let (usable, left): (Vec<usize>, Vec<usize>) = wanted.iter().partition(|core| allowed.contains(core));
    if !left.is_empty() {
        tracing::warn!(cores = ?left, ?allowed, "threads cannot stay on cores that the program may not use");
    }
    usable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_go_round_the_cores_that_may_be_used() {
        let allowed = allowed();
        let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
        let wanted = Affinity::Cores(vec![last, usize::MAX, first]);

        assert_eq!(wanted.cores(5), [last, first, last, first, last]);
        assert_eq!(Affinity::Cores(vec![usize::MAX]).cores(2), [0; 0], "they are free");
        assert_eq!(Affinity::Free.cores(8), [0; 0]);
    }

    #[test]
    fn spread_threads_have_all_cores_before_they_share_any() {
        let allowed = allowed();
        let mut spread = Affinity::Spread.cores(allowed.len());
        spread.sort_unstable();
        assert_eq!(spread, allowed);
    }
}
