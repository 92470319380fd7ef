//! Which job is in which state; nothing here reads a clock or a file.
use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Job, JobId, Priority};

/// Jobs that are done are remembered, the last of them.
const REMEMBERED: usize = 200;

/// One job and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub id: JobId,
    /// What is to be done.
    pub job: Job,
    /// How urgent it is.
    pub priority: Priority,
    /// How it stands.
    pub status: Status,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It waits, perhaps with a part of its work done.
    Waiting,
    /// It runs.
    Running,
    /// It is done and its result at its place.
    Accepted {
        /// Bytes of the source's tensors.
        bytes_before: u64,
        /// Bytes of the result's.
        bytes_after: u64,
    },
    /// It was done, and the result was not good enough.
    Rejected {
        /// In what.
        reason: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        reason: String,
    },
    /// Somebody did not want it any more.
    Cancelled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        match self {
            Self::Waiting => write!(f, "waiting"),
            Self::Running => write!(f, "running"),
            Self::Accepted { bytes_before, bytes_after } => {
                write!(
                    f,
                    "accepted, {:.1} MiB to {:.1} MiB",
                    *bytes_before as f64 / MIB,
                    *bytes_after as f64 / MIB
                )
            }
            Self::Rejected { reason } => write!(f, "rejected, {reason}"),
            Self::Failed { reason } => write!(f, "failed, {reason}"),
            Self::Cancelled => write!(f, "cancelled"),
        }
    }
}

/// All jobs, in the order they were added.
#[derive(Debug, Default)]
pub(super) struct State {
    jobs: Vec<Entry>,
}

impl State {
    /// The jobs of an earlier run; one that was running waits to be gone on with.
    pub(super) fn new(mut jobs: Vec<Entry>) -> Self {
        for entry in jobs.iter_mut().filter(|entry| entry.status == Status::Running) {
            entry.status = Status::Waiting;
        }
        Self { jobs }
    }

    pub(super) fn jobs(&self) -> &[Entry] {
        &self.jobs
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Entry> {
        self.jobs.iter().find(|entry| entry.id == *id)
    }

    /// Adds a job, unless it is there; returns whether it waits now and did not before.
    pub(super) fn submit(&mut self, id: JobId, job: Job, priority: Priority) -> bool {
        if let Some(entry) = self.get_mut(&id) {
            let result_is_there = matches!(entry.status, Status::Accepted { .. }) && job.target.exists();
            if matches!(entry.status, Status::Waiting | Status::Running) {
                entry.priority = entry.priority.max(priority);
                return false;
            }
            if result_is_there {
                return false;
            }
        }
        self.jobs.retain(|entry| entry.id != id);
        self.jobs.push(Entry { id, job, priority, status: Status::Waiting });
        true
    }

    /// The job whose turn it is: the most urgent, among those the one that has waited longest.
    pub(super) fn next(&self) -> Option<&Entry> {
        // `min_by_key` takes the first of equals.
        self.jobs
            .iter()
            .filter(|entry| entry.status == Status::Waiting)
            .min_by_key(|entry| Reverse(entry.priority))
    }

    /// Begins the job whose turn it is.
    pub(super) fn start(&mut self) -> Option<(JobId, Job)> {
        let id = self.next()?.id.clone();
        let entry = self.get_mut(&id)?;
        entry.status = Status::Running;
        Some((id, entry.job.clone()))
    }

    pub(super) fn running(&self) -> Option<&JobId> {
        self.jobs.iter().find(|entry| entry.status == Status::Running).map(|entry| &entry.id)
    }

    /// Whether something waits that is more urgent than what runs.
    pub(super) fn is_outranked(&self) -> bool {
        let running = self.jobs.iter().find(|entry| entry.status == Status::Running);
        running.zip(self.next()).is_some_and(|(running, next)| next.priority > running.priority)
    }

    /// Puts the running job back to where it was.
    pub(super) fn wait(&mut self, id: &JobId) {
        if let Some(entry) = self.get_mut(id) {
            entry.status = Status::Waiting;
        }
    }

    /// Ends a job.
    pub(super) fn finish(&mut self, id: &JobId, status: Status) {
        if let Some(entry) = self.get_mut(id) {
            entry.status = status;
        }
        let over = |entry: &Entry| !matches!(entry.status, Status::Waiting | Status::Running);
        let mut surplus = self.jobs.iter().filter(|entry| over(entry)).count().saturating_sub(REMEMBERED);
        self.jobs.retain(|entry| {
            let forgotten = surplus > 0 && over(entry);
            surplus -= usize::from(forgotten);
            !forgotten
        });
    }

    fn get_mut(&mut self, id: &JobId) -> Option<&mut Entry> {
        self.jobs.iter_mut().find(|entry| entry.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{DType, Recipe};

    fn id(name: &str) -> JobId {
        serde_json::from_value(name.into()).unwrap()
    }

    fn job() -> Job {
        Job::new("in.gguf", "out that is not there.gguf", Recipe::uniform(DType::Q8_0))
    }

    fn submit(state: &mut State, name: &str, priority: Priority) -> bool {
        state.submit(id(name), job(), priority)
    }

    fn start(state: &mut State) -> Option<String> {
        state.start().map(|(id, _)| id.to_string())
    }

    #[test]
    fn most_urgent_job_is_next_and_among_equals_the_first() {
        let mut state = State::default();
        for (name, priority) in
            [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High), ("d", Priority::High)]
        {
            assert!(submit(&mut state, name, priority));
        }
        let order = std::iter::from_fn(|| {
            let next = start(&mut state)?;
            state.finish(&id(&next), Status::Cancelled);
            Some(next)
        });
        assert_eq!(order.collect::<Vec<_>>(), ["c", "d", "b", "a"]);
    }

    #[test]
    fn job_that_is_there_is_not_added_again_but_may_become_more_urgent() {
        let mut state = State::default();
        assert!(submit(&mut state, "a", Priority::Low));
        assert!(!submit(&mut state, "a", Priority::High));
        assert!(!submit(&mut state, "a", Priority::Low));
        assert_eq!(state.jobs().len(), 1);
        assert_eq!(state.jobs()[0].priority, Priority::High);
    }

    #[test]
    fn accepted_job_is_done_again_only_if_its_result_is_gone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let there = Job::new("in.gguf", file.path(), Recipe::uniform(DType::Q8_0));
        let mut state = State::default();
        state.submit(id("a"), there.clone(), Priority::Normal);
        state.start();
        state.finish(&id("a"), Status::Accepted { bytes_before: 2, bytes_after: 1 });

        assert!(!state.submit(id("a"), there.clone(), Priority::Normal));
        file.close().unwrap();
        assert!(state.submit(id("a"), there, Priority::Normal));
    }

    #[test]
    fn running_job_is_outranked_by_a_more_urgent_one_and_goes_on_later() {
        let mut state = State::default();
        submit(&mut state, "slow", Priority::Normal);
        start(&mut state);
        submit(&mut state, "equal", Priority::Normal);
        assert!(!state.is_outranked());
        submit(&mut state, "urgent", Priority::High);
        assert!(state.is_outranked());

        state.wait(&id("slow"));
        assert_eq!(start(&mut state).as_deref(), Some("urgent"));
        state.finish(&id("urgent"), Status::Cancelled);
        assert_eq!(start(&mut state).as_deref(), Some("slow"));
    }

    #[test]
    fn job_that_was_running_when_the_program_ended_waits() {
        let mut state = State::default();
        submit(&mut state, "a", Priority::Normal);
        start(&mut state);
        let again = State::new(state.jobs().to_vec());
        assert_eq!(again.next().unwrap().id, id("a"));
    }

    proptest! {
        #[test]
        fn at_most_one_job_runs_and_none_is_lost(steps in prop::collection::vec((0..5_u8, 0..6_u8, 0..3_u8), 0..200)) {
            let mut state = State::default();
            let mut known = std::collections::HashSet::new();
            for (what, which, priority) in steps {
                let name = which.to_string();
                let priority = [Priority::Low, Priority::Normal, Priority::High][priority as usize];
                match what {
                    0 | 1 => {
                        submit(&mut state, &name, priority);
                        known.insert(name);
                    }
                    2 if state.running().is_none() => drop(state.start()),
                    3 => {
                        if let Some(running) = state.running().cloned() {
                            state.wait(&running);
                        }
                    }
                    _ => {
                        if let Some(running) = state.running().cloned() {
                            state.finish(&running, Status::Failed { reason: String::new() });
                        }
                    }
                }
                let running = state.jobs().iter().filter(|entry| entry.status == Status::Running).count();
                prop_assert!(running <= 1);
                prop_assert_eq!(state.jobs().len(), known.len());
            }
        }
    }
}
