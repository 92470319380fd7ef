use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::{Error, Moment, Probe, Reading, Result};

/// A probe on a thread of its own, so that one that hangs holds up nobody.
///
/// Dropping it lets the thread end after the read in progress, without waiting for that.
#[derive(Debug)]
pub(crate) struct Worker {
    requests: Sender<Moment>,
    answers: Receiver<Result<Vec<Reading>>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Asked,
    /// Asked, and the answer did not come in time.
    Late,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn spawn(probe: Box<dyn Probe>) -> Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        let thread = format!("aic-probe-{}", probe.name());
        thread::Builder::new()
            .name(thread.clone())
            .spawn(move || serve(probe, &inbox, &outbox))
            .map_err(|source| Error::Thread { thread, source })?;
        Ok(Self { requests, answers, state: State::Idle })
    }

    /// Asks for a read, unless one is still in progress.
    pub(crate) fn ask(&mut self, at: Moment) {
        if self.state == State::Idle {
            let _ = self.requests.send(at); // A thread that has ended shows when its answer is collected.
            self.state = State::Asked;
        }
    }

    /// Takes the answer, waiting up to `wait` for it; once it is late, it is waited for no more.
    ///
    /// `deadline` is the time a probe has, for the message.
    pub(crate) fn collect(
        &mut self,
        probe: &str,
        wait: Duration,
        deadline: Duration,
    ) -> Result<Vec<Reading>> {
        let wait = if self.state == State::Late { Duration::ZERO } else { wait };
        let probe = || probe.to_owned();
        match self.answers.recv_timeout(wait) {
            Ok(answer) => {
                self.state = State::Idle;
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                self.state = State::Late;
                Err(Error::ProbeTimeout { probe: probe(), deadline })
            }
            Err(RecvTimeoutError::Disconnected) => Err(Error::ProbePanicked { probe: probe() }),
        }
    }
}

fn serve(mut probe: Box<dyn Probe>, inbox: &Receiver<Moment>, outbox: &Sender<Result<Vec<Reading>>>) {
    while let Ok(at) = inbox.recv() {
        if outbox.send(probe.read(at)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    const LONG: Duration = Duration::from_secs(60);

    /// Answers when it is told to, and panics when nobody can tell it any more.
    #[derive(Debug)]
    struct Told(Receiver<()>);

    impl Probe for Told {
        fn name(&self) -> &str {
            "told"
        }

        fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
            self.0.recv().expect("somebody tells");
            Ok(vec![Reading::new("told", Ok(1.0), at)])
        }
    }

    fn told() -> (Sender<()>, Worker) {
        let (tell, told) = mpsc::channel();
        (tell, Worker::spawn(Box::new(Told(told))).unwrap())
    }

    #[test]
    fn late_answer_is_an_error_once_and_taken_when_it_comes() {
        let ((tell, mut worker), at) = (told(), Moment::of(&SystemClock));

        worker.ask(at);
        let early = worker.collect("told", Duration::from_millis(1), LONG);
        worker.ask(Moment::of(&SystemClock));
        tell.send(()).unwrap();
        worker.state = State::Asked; // Wait for it, where `Late` would only look.
        let late = worker.collect("told", LONG, LONG).unwrap();

        assert!(matches!(early, Err(Error::ProbeTimeout { .. })));
        assert_eq!(late[0].at, at, "the first question was answered");
    }

    #[test]
    fn panic_of_a_probe_is_an_error_and_stays_one() {
        let (tell, mut worker) = told();
        drop(tell);

        for _ in 0..2 {
            worker.ask(Moment::of(&SystemClock));
            let answer = worker.collect("told", LONG, LONG);
            assert!(matches!(answer, Err(Error::ProbePanicked { .. })));
        }
    }
}
