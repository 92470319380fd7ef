//! One stream, read by many.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};

use futures_util::Stream;
use parking_lot::Mutex;

type Source<P> = Pin<Box<dyn Stream<Item = P> + Send>>;

/// One of many readers of the same stream. Each gets every piece from the first on, as it comes.
///
/// Whoever waits for the next piece drives the stream for all, so a reader that stops reading holds up nobody, and
/// nothing runs that nobody waits for. The stream is dropped with its last reader. Pieces are kept until then.
///
/// # Cancel safety
/// Dropping a reader, or a future that waits for its next piece, takes nothing from the others.
pub struct Tee<P> {
    shared: Arc<Shared<P>>,
    next: usize,
    seat: u64,
}

struct Shared<P> {
    stream: Mutex<Running<P>>,
    waiting: Arc<Waiting>,
}

struct Running<P> {
    /// `None` once it has ended.
    source: Option<Source<P>>,
    pieces: Vec<P>,
}

/// The readers to wake when the stream can go on.
#[derive(Default)]
struct Waiting(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    taken: u64,
    wakers: HashMap<u64, Waker>,
}

impl<P: Clone> Tee<P> {
    /// The first reader of `source`.
    pub(crate) fn new(source: impl Stream<Item = P> + Send + 'static) -> Self {
        let running = Running { source: Some(Box::pin(source)), pieces: Vec::new() };
        Self::join(Arc::new(Shared { stream: Mutex::new(running), waiting: Arc::default() }))
    }

    fn join(shared: Arc<Shared<P>>) -> Self {
        let seat = shared.waiting.seat();
        Self { shared, next: 0, seat }
    }

    /// A way to more readers that does not keep the stream going by itself.
    pub(crate) fn invitation(&self) -> Invitation<P> {
        Invitation(Arc::downgrade(&self.shared))
    }

    /// The next piece, `None` after the last.
    ///
    /// # Cancel safety
    /// Dropping the future loses no piece.
    pub async fn next(&mut self) -> Option<P> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<P>> {
        let mut running = self.shared.stream.lock();
        if let Some(piece) = running.pieces.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(piece.clone()));
        }
        self.shared.waiting.wait(self.seat, cx.waker());
        let piece = std::task::ready!(running.advance(&self.shared.waiting));
        drop(running);
        self.next += usize::from(piece.is_some());
        self.shared.waiting.leave(self.seat);
        self.shared.waiting.wake_all();
        Poll::Ready(piece)
    }
}

impl<P: Clone> Running<P> {
    /// Takes the next piece from the source and keeps it.
    fn advance(&mut self, waiting: &Arc<Waiting>) -> Poll<Option<P>> {
        // Taken out while it runs: a source that panics has ended, and is not run again.
        let Some(mut source) = self.source.take() else { return Poll::Ready(None) };
        let _fuse = Fuse(waiting);
        let everybody = Waker::from(waiting.clone());
        let polled = source.as_mut().poll_next(&mut Context::from_waker(&everybody));
        if !matches!(polled, Poll::Ready(None)) {
            self.source = Some(source);
        }
        polled.map(|piece| piece.inspect(|piece| self.pieces.push(piece.clone())))
    }
}

impl Waiting {
    fn seat(&self) -> u64 {
        let mut seats = self.0.lock();
        seats.taken += 1;
        seats.taken
    }

    fn wait(&self, seat: u64, waker: &Waker) {
        self.0.lock().wakers.insert(seat, waker.clone());
    }

    fn leave(&self, seat: u64) {
        self.0.lock().wakers.remove(&seat);
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut self.0.lock().wakers);
        wakers.into_values().for_each(Waker::wake);
    }
}

/// Wakes all readers if the source panics, so that they learn of its end.
struct Fuse<'a>(&'a Waiting);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wake_all();
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl<P> Drop for Tee<P> {
    fn drop(&mut self) {
        self.shared.waiting.leave(self.seat);
    }
}

impl<P: Clone> Stream for Tee<P> {
    type Item = P;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P>> {
        self.get_mut().poll_piece(cx)
    }
}

impl<P> fmt::Debug for Tee<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Lets others join a stream for as long as somebody reads it.
pub(crate) struct Invitation<P>(Weak<Shared<P>>);

impl<P: Clone> Invitation<P> {
    /// Another reader, from the first piece on; `None` if nobody reads any more.
    pub(crate) fn accept(&self) -> Option<Tee<P>> {
        self.0.upgrade().map(Tee::join)
    }
}

impl<P> fmt::Debug for Invitation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt, StreamExt, poll, stream};
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::*;

    /// A stream fed by hand, and its first reader.
    fn fed() -> (mpsc::UnboundedSender<u32>, Tee<u32>) {
        let (feed, mut pieces) = mpsc::unbounded_channel();
        (feed, Tee::new(stream::poll_fn(move |cx| pieces.poll_recv(cx))))
    }

    #[tokio::test]
    async fn reader_that_joins_late_gets_every_piece_from_the_first_on() {
        let (feed, mut first) = fed();
        feed.send(1).unwrap();
        assert_eq!(first.next().await, Some(1));

        let late = first.invitation().accept().unwrap();
        feed.send(2).unwrap();
        drop(feed);

        assert_eq!(late.collect::<Vec<_>>().await, [1, 2]);
        assert_eq!(first.next().await, Some(2));
        assert_eq!(first.next().await, None);
    }

    #[tokio::test]
    async fn stream_goes_on_for_the_others_when_a_waiting_reader_leaves() {
        let (feed, mut first) = fed();
        let mut second = first.invitation().accept().unwrap();
        {
            let mut waiting = Box::pin(second.next());
            assert!(poll!(&mut waiting).is_pending());
            let mut leaving = Box::pin(first.next());
            assert!(poll!(&mut leaving).is_pending());
            drop(leaving);
            drop(first);

            feed.send(7).unwrap();

            assert_eq!(waiting.await, Some(7));
        }
        assert!(second.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn reader_that_reads_nothing_holds_up_nobody() {
        let (feed, idle) = fed();
        let reader = idle.invitation().accept().unwrap();
        for piece in 0..1000 {
            feed.send(piece).unwrap();
        }
        drop(feed);

        assert_eq!(reader.count().await, 1000);
        assert_eq!(idle.count().await, 1000);
    }

    #[tokio::test]
    async fn stream_is_dropped_with_its_last_reader_and_cannot_be_joined_afterwards() {
        let (feed, first) = fed();
        let invitation = first.invitation();
        let second = invitation.accept().unwrap();

        drop(first);
        assert!(!feed.is_closed());
        drop(second);

        assert!(feed.is_closed());
        assert!(invitation.accept().is_none());
    }

    #[tokio::test]
    async fn stream_that_panics_ends_for_those_who_wait_behind_it() {
        let (feed, mut pieces) = mpsc::unbounded_channel::<u32>();
        let first = Tee::new(stream::poll_fn(move |cx| {
            pieces.poll_recv(cx).map(|piece| if piece == Some(13) { panic!("unlucky") } else { piece })
        }));
        let mut second = first.invitation().accept().unwrap();
        let waiting = tokio::spawn(async move { second.next().await });
        let first = tokio::spawn(first.collect::<Vec<_>>());
        tokio::task::yield_now().await;

        feed.send(13).unwrap();

        let outcomes = [
            first.await.map(|pieces| pieces.len()).ok(),
            waiting.await.ok().map(|piece| piece.map_or(0, |_| 1)),
        ];
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_none()).count(),
            1,
            "one panics: {outcomes:?}"
        );
        assert!(outcomes.contains(&Some(0)), "the other sees the end: {outcomes:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_readers_on_many_threads_all_get_the_same_and_the_stream_runs_once() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let source = stream::iter(0..500).then(move |piece| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                piece
            }
        });
        let first = Tee::new(source);

        let readers: Vec<_> = (0..100).map(|_| first.invitation().accept().unwrap()).collect();
        let reading: Vec<_> = readers
            .into_iter()
            .enumerate()
            // Every third reader leaves in the middle.
            .map(|(i, tee)| tokio::spawn(tee.take(if i % 3 == 0 { i } else { 1000 }).collect::<Vec<_>>()))
            .collect();
        drop(first);

        for (i, reading) in reading.into_iter().enumerate() {
            let expected: Vec<_> = (0..if i % 3 == 0 { i } else { 500 }).collect();
            assert_eq!(reading.await.unwrap(), expected);
        }
        assert_eq!(runs.load(Ordering::Relaxed), 500);
    }

    proptest! {
        #[test]
        fn every_reader_sees_one_prefix_of_the_same_pieces(steps in prop::collection::vec(0usize..6, 0..200)) {
            let (feed, first) = fed();
            let mut readers = vec![(first, Vec::new())];
            let (mut sent, mut kept) = (0, Vec::new());
            for step in steps {
                match step {
                    0 => {
                        feed.send(sent).unwrap();
                        kept.push(sent);
                        sent += 1;
                    }
                    1 if readers.len() < 5 => {
                        let joined = readers[0].0.invitation().accept().unwrap();
                        readers.push((joined, Vec::new()));
                    }
                    2 if readers.len() > 1 => drop(readers.remove(0)),
                    reader => {
                        let at = reader % readers.len();
                        let (tee, seen) = &mut readers[at];
                        seen.extend(tee.next().now_or_never().flatten());
                    }
                }
            }
            drop(feed);
            for (mut tee, mut seen) in readers {
                while let Some(piece) = tee.next().now_or_never().expect("the feed has ended") {
                    seen.push(piece);
                }
                prop_assert_eq!(&seen, &kept);
            }
        }
    }
}
