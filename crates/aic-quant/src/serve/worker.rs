use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::{Answer, channel};
use super::queue::Queue;
use super::reply::Reply;
use super::request::Request;
use super::scheduler::Scheduler;
use super::{ServeOptions, ServeStatistics};
use crate::engine::{Grammar, Step, Voice};
use crate::kernels::stay_on;
use crate::tokenizer::Tokenizer;
use crate::{Error, GenerateOptions, Result};

/// How long there must be no request before memory is given back: the next of a conversation comes sooner.
const REST: Duration = Duration::from_secs(2);

/// A thread that answers requests with one model, many at a time; it sleeps while there are none.
///
/// Dropping it waits for the step that runs, and ends what is not answered yet with [`Error::Stopped`].
pub(crate) struct Worker {
    shared: Arc<Shared>,
    tokenizer: Arc<Tokenizer>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Something was submitted, or the queue was closed.
    wake: Condvar,
}

struct State {
    queue: Queue,
    /// Those of the scheduler, as they were before the step that runs.
    statistics: ServeStatistics,
}

impl Worker {
    /// Starts the thread for `model`, whose answers end where prompt and answer have `max_context` tokens, or fill its pages. It
    /// stays on `core`, if there is one.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of its range, [`Error::Io`] if the system refuses to start a thread.
    pub(crate) fn start(
        model: Box<dyn Step>,
        tokenizer: Arc<Tokenizer>,
        max_context: usize,
        options: ServeOptions,
        core: Option<usize>,
    ) -> Result<Self> {
        let (scheduler, queue) = Scheduler::new(model, max_context, options)?;
        let state = State { queue, statistics: scheduler.statistics() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let serving = shared.clone();
        let thread = thread::Builder::new().name("aic-serve".to_owned()).spawn(move || {
            core.into_iter().for_each(stay_on);
            serving.serve(scheduler);
        });
        let thread = Some(thread.map_err(Error::io("start", "a thread"))?);
        Ok(Self { shared, tokenizer, thread })
    }

    /// Asks for the continuation of `prompt` that keeps to `grammar`; `options` have been checked. A request that still waits after `start_by` ends with
    /// [`Error::Expired`].
    ///
    /// # Errors
    /// [`Error::Empty`] without a prompt, [`Error::PromptTooLong`], [`Error::QueueFull`].
    pub(crate) fn submit(
        &self,
        prompt: Vec<u32>,
        options: &GenerateOptions,
        grammar: Option<Grammar>,
        start_by: Option<Instant>,
    ) -> Result<Answer> {
        let now = Instant::now();
        let (sender, answer) = channel();
        let voice = Voice::new(self.tokenizer.clone(), options, &prompt, grammar);
        let reply = Box::new(Reply::new(voice, sender, prompt.len(), now));
        let request = Request::new(prompt, options.max_tokens, now, start_by, reply);
        self.shared.lock().queue.submit(request, now)?;
        self.shared.wake.notify_one();
        Ok(answer)
    }

    /// How things stand.
    pub(crate) fn statistics(&self) -> ServeStatistics {
        let state = self.shared.lock();
        let mut statistics = state.statistics;
        state.queue.report(&mut statistics);
        statistics
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().queue.close();
        self.shared.wake.notify_one();
        // The last answer may be dropped by a waker on the thread itself.
        let other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if self.thread.take().filter(other).is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that served a model had panicked");
        }
    }
}

impl Shared {
    /// The thread's life. The answers of requests that were started end when the scheduler is dropped with their senders.
    fn serve(&self, mut scheduler: Scheduler) {
        let _abandoned = Abandoned(self);
        while self.await_work(&mut scheduler) {
            scheduler.step(&Instant::now);
        }
    }

    /// Waits until there is something to run; says whether there is, and not the end.
    fn await_work(&self, scheduler: &mut Scheduler) -> bool {
        let mut state = self.lock();
        while !state.queue.is_closed() {
            scheduler.admit(&mut state.queue, Instant::now());
            state.statistics = scheduler.statistics();
            if !scheduler.is_idle() {
                return true;
            }
            state = self.rest(state, scheduler);
        }
        false
    }

    /// Waits until something may have changed. What a burst of requests took of memory is given back after a while without any.
    fn rest<'a>(&'a self, state: MutexGuard<'a, State>, scheduler: &mut Scheduler) -> MutexGuard<'a, State> {
        let (mut state, waited) = self.wake.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() || state.queue.front().is_some() || state.queue.is_closed() {
            return state;
        }
        scheduler.trim();
        self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what waits when the thread does, however it does.
struct Abandoned<'a>(&'a Shared);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.lock().queue.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::toy::{Log, Mishap, Toy};
    use super::*;
    use crate::tokenizer::tests::{tiny, tokenizer};
    use crate::{FinishReason, Usage};
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};

    const OPTIONS: ServeOptions = ServeOptions { waiting: 300, running: 4, step_tokens: 16 };

    fn worker(options: ServeOptions) -> (Worker, Arc<Mutex<Log>>) {
        let (toy, log) = Toy::new(4, 200, true);
        let tokenizer = Arc::new(tokenizer(&tiny()));
        (Worker::start(Box::new(toy), tokenizer, usize::MAX, options, None).unwrap(), log)
    }

    fn greedy(max_tokens: usize) -> GenerateOptions {
        GenerateOptions { max_tokens, temperature: 0.0, ..GenerateOptions::default() }
    }

    /// The tokens of a complete answer.
    fn tokens(events: impl IntoIterator<Item = Result<Event>>) -> Vec<u32> {
        let token = |event| match event {
            Ok(Event::Token { piece, .. }) => Some(piece.token),
            Ok(Event::Finish { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        events.into_iter().filter_map(token).collect()
    }

    fn failed(answer: Answer) -> String {
        answer.last().unwrap().unwrap_err().to_string()
    }

    /// Waits, without sleeping, until all is answered.
    fn settled(worker: &Worker) -> ServeStatistics {
        loop {
            let statistics = worker.statistics();
            if statistics.running + statistics.waiting == 0 {
                return statistics;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn answer_comes_token_by_token_with_its_times_and_ends_with_a_summary() {
        let (worker, _) = worker(OPTIONS);

        let mut events: Vec<Event> = worker
            .submit(vec![1, 2, 3], &greedy(20), None, None)
            .unwrap()
            .map(|event| event.unwrap())
            .collect();

        let Some(Event::Finish { reason, usage, timings }) = events.pop() else { panic!("{events:?}") };
        assert_eq!(reason, FinishReason::Length);
        assert_eq!(usage, Usage { prompt_tokens: 3, output_tokens: 20 });
        let token = |event| match event {
            Event::Token { piece, at } => (piece, at),
            other => panic!("{other:?}"),
        };
        let (pieces, times): (Vec<_>, Vec<Duration>) = events.into_iter().map(token).unzip();
        let said: Vec<u32> = pieces.iter().map(|piece| piece.token).collect();
        assert_eq!(said, Toy::endless(&[1, 2, 3], 20));
        let text: String = pieces.into_iter().map(|piece| piece.text).collect();
        assert_eq!(text, tokenizer(&tiny()).decode(&said));
        assert!(times.is_sorted());
        assert_eq!(timings.first_token, Some(times[0]));
        assert!(timings.prefill.unwrap() <= times[0]);
        assert_eq!(timings.decode, times[19] - times[0]);
        assert_eq!(timings.tokens_per_second, Some(19.0 / timings.decode.as_secs_f64()));
    }

    #[test]
    fn memory_goes_back_after_a_rest_and_answers_stay_the_same() {
        let (worker, log) = worker(OPTIONS);
        for _ in 0..2 {
            let answer = worker.submit(vec![1, 2, 3], &greedy(20), None, None).unwrap();
            assert_eq!(tokens(answer), Toy::endless(&[1, 2, 3], 20));
            while log.lock().unwrap().trimmed.is_empty() {
                thread::yield_now();
            }
            log.lock().unwrap().trimmed.clear();
        }
    }

    #[test]
    fn dropped_answer_is_not_computed_further() {
        let (worker, log) = worker(OPTIONS);
        let pause = log.lock().unwrap();
        drop(worker.submit(vec![1, 2, 3], &greedy(500), None, None).unwrap());
        drop(pause);

        let next = worker.submit(vec![4, 5], &greedy(5), None, None).unwrap();

        assert_eq!(tokens(next).len(), 5);
        let statistics = settled(&worker);
        assert_eq!((statistics.cancelled + statistics.purged, statistics.finished), (1, 1));
        assert!(statistics.steps < 10);
    }

    #[test]
    fn answer_that_nobody_reads_yet_holds_up_nobody() {
        let (worker, _) = worker(ServeOptions { running: 1, ..OPTIONS });
        let slow = worker.submit(vec![1, 2, 3], &greedy(300), None, None).unwrap();

        let quick = worker.submit(vec![4, 5], &greedy(3), None, None).unwrap();

        assert_eq!(tokens(quick), Toy::endless(&[4, 5], 3));
        assert_eq!(tokens(slow), Toy::endless(&[1, 2, 3], 300));
    }

    #[test]
    fn closing_ends_what_is_not_answered_with_an_error() {
        let (worker, log) = worker(ServeOptions { running: 1, ..OPTIONS });
        let pause = log.lock().unwrap();
        let answers = [1, 2, 3].map(|token| worker.submit(vec![token], &greedy(300), None, None).unwrap());
        let shared = worker.shared.clone();
        shared.lock().queue.close();
        drop(pause);

        drop(worker);

        answers.into_iter().for_each(|answer| assert_eq!(failed(answer), "the engine was stopped"));
        assert_eq!(Arc::strong_count(&shared), 1, "the thread is gone");
    }

    #[test]
    fn failed_step_ends_its_requests_and_the_next_are_answered() {
        let (worker, log) = worker(OPTIONS);
        for mishap in [Mishap::Error, Mishap::Panic] {
            log.lock().unwrap().mishap = Some(mishap);
            let answer = worker.submit(vec![1, 2, 3], &greedy(5), None, None).unwrap();
            assert_eq!(failed(answer), "computation failed while answering requests together");

            let next = worker.submit(vec![1, 2, 3], &greedy(5), None, None).unwrap();
            assert_eq!(tokens(next), Toy::endless(&[1, 2, 3], 5));
        }
    }

    #[test]
    fn full_queue_refuses_while_the_model_is_busy() {
        let (worker, log) = worker(ServeOptions { waiting: 2, running: 1, ..OPTIONS });
        let pause = log.lock().unwrap();
        let mut answers = Vec::new();
        let refused = loop {
            match worker.submit(vec![1, 2, 3], &greedy(2), None, None) {
                Ok(answer) => answers.push(answer),
                Err(error) => break error,
            }
        };
        drop(pause);

        assert!(matches!(refused, Error::QueueFull { waiting: 2, limit: 2 }));
        assert!((2..=3).contains(&answers.len()));
        answers.into_iter().for_each(|answer| assert_eq!(tokens(answer).len(), 2));
        assert_eq!(settled(&worker).refused, 1);
    }

    #[test]
    fn two_hundred_callers_that_leave_at_any_token_leave_nothing_behind() {
        let (worker, _) = worker(ServeOptions { running: 16, step_tokens: 32, ..OPTIONS });

        thread::scope(|scope| {
            for caller in 0..8 {
                let worker = &worker;
                scope.spawn(move || {
                    for request in caller * 25..(caller + 1) * 25 {
                        let prompt: Vec<u32> = (0..1 + request % 30).map(|i| (i * caller) % 50).collect();
                        let answer = worker.submit(prompt.clone(), &greedy(12), None, None).unwrap();
                        let read = (request as usize * 7) % 16;
                        let expected = Toy::endless(&prompt, read.min(12));
                        assert_eq!(tokens(answer.take(read)), expected);
                    }
                });
            }
        });

        let statistics = settled(&worker);
        assert_eq!(statistics.pages_used, 0);
        assert_eq!(statistics.finished + statistics.cancelled + statistics.purged, 200);
        assert_eq!(statistics.failed, 0);
    }

    /// Unparks the thread that waits for a future.
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn answer_can_be_awaited() {
        let (worker, _) = worker(OPTIONS);
        let mut answer = worker.submit(vec![1, 2, 3], &greedy(50), None, None).unwrap();

        let events = block_on(async {
            let mut events = Vec::new();
            while let Some(event) = poll_fn(|context| answer.poll_next(context)).await {
                events.push(event);
            }
            events
        });

        assert_eq!(tokens(events), Toy::endless(&[1, 2, 3], 50));
    }
}
