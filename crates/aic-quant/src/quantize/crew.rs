//! Many threads, one list of tasks.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::Result;

/// Does `work` for each of `tasks` on `threads` threads, and hands what comes of it to `done` on the calling thread, in the
/// order it comes.
///
/// Tasks are begun in order. Each thread has a `Scratch` of its own. The first error, of either, ends everything: tasks that
/// were begun are finished, none is begun any more. While `done` takes its time, the threads wait.
pub(super) fn run<Task: Sync, Scratch: Default, Outcome: Send>(
    threads: usize,
    tasks: &[Task],
    work: impl Fn(&Task, &mut Scratch) -> Result<Outcome> + Sync,
    mut done: impl FnMut(usize, Outcome) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = |outcomes: mpsc::SyncSender<(usize, Result<Outcome>)>| {
        let mut scratch = Scratch::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else { return };
            if outcomes.send((index, work(task, &mut scratch))).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, outcomes) = mpsc::sync_channel(threads);
        for _ in 0..threads.min(tasks.len()) {
            let sender = sender.clone();
            scope.spawn(|| worker(sender));
        }
        drop(sender);
        // Returning early drops the receiver, which ends the threads at their next `send`.
        outcomes.into_iter().try_for_each(|(index, outcome)| done(index, outcome?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn every_task_is_done_once_whatever_the_number_of_threads() {
        let tasks: Vec<u64> = (0..1000).collect();
        for threads in [1, 2, 7] {
            let mut squares = vec![0; tasks.len()];
            let work = |task: &u64, calls: &mut u64| {
                *calls += 1;
                Ok((task * task, *calls))
            };
            run(threads, &tasks, work, |index, (square, _)| {
                squares[index] += square;
                Ok(())
            })
            .unwrap();
            assert!(squares.iter().zip(&tasks).all(|(square, task)| *square == task * task));
        }
    }

    #[test]
    fn first_error_of_either_side_ends_the_run() {
        let begun = AtomicUsize::new(0);
        let tasks: Vec<usize> = (0..10_000).collect();
        let failing = |task: &usize, _: &mut ()| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *task == 5 { Err(Error::Empty { what: "task" }) } else { Ok(()) }
        };
        assert!(matches!(run(2, &tasks, failing, |_, ()| Ok(())), Err(Error::Empty { .. })));
        assert!(begun.load(Ordering::Relaxed) < 100);

        let mut seen = 0;
        let stopped = run(
            2,
            &tasks,
            |_, _: &mut ()| Ok(()),
            |_, ()| {
                seen += 1;
                if seen == 3 { Err(Error::Empty { what: "patience" }) } else { Ok(()) }
            },
        );
        assert!(stopped.is_err());
        assert_eq!(seen, 3);
    }
}
