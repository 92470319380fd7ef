use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::queue::stopped;
use crate::{FinishReason, Piece, Result, Timings, Usage};

/// Something that happens to an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A token came, or text that had been held back.
    Token {
        /// The token and its text.
        piece: Piece,
        /// When, from the submission of the request.
        at: Duration,
    },
    /// The answer is complete; the last event.
    Finish {
        /// Why it ended.
        reason: FinishReason,
        /// How many tokens went in and came out.
        usage: Usage,
        /// Where the time went; with several requests at once, a part of it to the others.
        timings: Timings,
    },
}

/// An answer on its way: an iterator of [`Event`]s that waits for the next, and [`poll_next`](Self::poll_next) for async code.
///
/// Ends after [`Event::Finish`], or after the first error. Dropping it ends the work on the answer at the next token. Nobody else
/// waits for whoever reads it: events that are not read are kept.
pub(crate) struct Answer(Arc<Mailbox>);

/// The other end of an [`Answer`].
pub(super) struct Sender(Arc<Mailbox>);

#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Result<Event>>,
    /// Nothing more is sent.
    over: bool,
    /// Nothing more is read.
    gone: bool,
    waker: Option<Waker>,
}

/// The two ends of an answer.
pub(super) fn channel() -> (Sender, Answer) {
    let mailbox = Arc::<Mailbox>::default();
    (Sender(mailbox.clone()), Answer(mailbox))
}

impl Answer {
    /// The next event if it is there; otherwise wakes the task once it is, or once there will be none. `None` after the last.
    ///
    /// The bridge to async code: `std::future::poll_fn(|context| answer.poll_next(context)).await`.
    ///
    /// # Cancel safety
    /// No event is lost when such a future is dropped.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        let mut state = self.0.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.over {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Iterator for Answer {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let waits = |state: &mut State| state.events.is_empty() && !state.over;
        let state = self.0.lock();
        self.0.arrived.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner).events.pop_front()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        state.events.clear();
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Answer").field("unread", &state.events.len()).field("over", &state.over).finish()
    }
}

impl Sender {
    /// Passes `event` on; the last is [`Event::Finish`] or an error.
    pub(super) fn send(&self, event: Result<Event>) {
        let mut state = self.0.lock();
        if state.over || state.gone {
            return;
        }
        state.over = !matches!(event, Ok(Event::Token { .. }));
        state.events.push_back(event);
        let waker = state.waker.take();
        drop(state);
        self.0.arrived.notify_one();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether the answer is read still.
    pub(super) fn is_wanted(&self) -> bool {
        !self.0.lock().gone
    }
}

impl Drop for Sender {
    /// An answer that was never completed ends with an error.
    fn drop(&mut self) {
        self.send(Err(stopped()));
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;
    use crate::Error;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn token(token: u32) -> Result<Event> {
        let piece = Piece { text: String::new(), token, logprob: 0.0, at: Duration::ZERO };
        Ok(Event::Token { piece, at: Duration::ZERO })
    }

    fn finish() -> Result<Event> {
        let (usage, timings) = (Usage::default(), Timings::default());
        Ok(Event::Finish { reason: FinishReason::Stop, usage, timings })
    }

    #[test]
    fn events_arrive_in_order_and_end_with_the_last() {
        let (sender, answer) = channel();
        let sends = thread::spawn(move || {
            (0..100).for_each(|i| sender.send(token(i)));
            sender.send(finish());
            sender.send(token(100));
        });

        let events: Vec<Event> = answer.map(|event| event.unwrap()).collect();

        sends.join().unwrap();
        let expected: Vec<Event> =
            (0..100).map(token).chain([finish()]).map(|event| event.unwrap()).collect();
        assert_eq!(events, expected);
    }

    #[test]
    fn sender_that_goes_early_leaves_an_error() {
        let (sender, mut answer) = channel();
        sender.send(token(1));
        drop(sender);

        assert!(matches!(answer.next(), Some(Ok(Event::Token { .. }))));
        assert!(matches!(answer.next(), Some(Err(Error::Stopped { .. }))));
        assert!(answer.next().is_none());
    }

    #[test]
    fn dropped_answer_is_not_wanted() {
        let (sender, answer) = channel();
        assert!(sender.is_wanted());

        drop(answer);

        assert!(!sender.is_wanted());
        sender.send(token(1));
        assert!(sender.0.lock().events.is_empty());
    }

    #[test]
    fn polled_answer_wakes_its_task_when_something_comes() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let (sender, mut answer) = channel();
        assert!(answer.poll_next(&mut context).is_pending());

        sender.send(token(1));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(matches!(answer.poll_next(&mut context), Poll::Ready(Some(Ok(Event::Token { .. })))));
        assert!(answer.poll_next(&mut context).is_pending());

        drop(sender);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(matches!(answer.poll_next(&mut context), Poll::Ready(Some(Err(_)))));
        assert!(matches!(answer.poll_next(&mut context), Poll::Ready(None)));
    }
}
