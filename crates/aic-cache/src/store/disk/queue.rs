use std::{collections::HashMap, mem, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{trouble::Trouble, wall::Life};
use crate::{Fingerprint, Tag};

/// Bytes that may wait to be written, those being written among them.
pub(super) const QUEUE_BYTES: usize = 32 << 20;
/// Bytes that are written without waiting for more.
const BATCH_BYTES: usize = 4 << 20;
/// How long the first of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the file is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// What waiting costs beside the bytes: key, table slot, the `Bytes` handle. An estimate.
const OP_BYTES: usize = 128;
/// Places of entries found dead that are remembered; more are found again.
const DEAD_MAX: usize = 10_000;

/// What is to be done to the entry of a key.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Put { bytes: Bytes, life: Life },
    Remove,
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Op::Put { bytes, .. } => bytes.len().saturating_add(OP_BYTES),
            Op::Remove => OP_BYTES,
        }
    }

    /// Removals must not be lost, so they have more room.
    fn room(&self) -> usize {
        match self {
            Op::Put { .. } => QUEUE_BYTES,
            Op::Remove => 2 * QUEUE_BYTES,
        }
    }
}

/// Ops by key, of which only the last one counts, with the number of their arrival.
pub(super) type Ops = HashMap<Fingerprint, (u64, Op)>;

/// A record that was found expired or damaged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    pub(super) key: Fingerprint,
    pub(super) birth: u64,
    /// Its place in the order.
    pub(super) place: u64,
}

/// Who waits for a write to be durable.
pub(super) type Waiter = oneshot::Sender<Result<(), Trouble>>;

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) ops: Arc<Ops>,
    pub(super) dead: Vec<Dead>,
    pub(super) cleared: Vec<Tag>,
    pub(super) waiters: Vec<Waiter>,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Write,
    /// Write what is left and end.
    Stop,
    /// Nothing before this time.
    Wait(Option<Instant>),
}

/// What waits to be written. What is being written stays findable here until it is in the file, so that it is
/// found at once and, if the write fails, not lost.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Ops,
    writing: Arc<Ops>,
    waiting_bytes: usize,
    writing_bytes: usize,
    /// Ops that ever came.
    arrivals: u64,
    /// When the oldest of `waiting` came.
    since: Option<Instant>,
    dead: Vec<Dead>,
    cleared: Vec<Tag>,
    waiters: Vec<Waiter>,
    /// What ails the file, and when it is tried again.
    ailing: Option<(Trouble, Instant)>,
    /// What a reader met in the open file.
    met: Option<Trouble>,
    stopped: bool,
}

impl Queue {
    /// The last op on `key` that is not in the file yet.
    pub(super) fn find(&self, key: &Fingerprint) -> Option<&Op> {
        self.waiting.get(key).or_else(|| self.writing.get(key)).map(|(_, op)| op)
    }

    /// Takes `op` in place of what waited under `key`. Returns whether the writer should look.
    pub(super) fn push(&mut self, key: Fingerprint, op: Op, now: Instant) -> Result<bool, Trouble> {
        if let (Op::Put { .. }, Some((trouble, _))) = (&op, &self.ailing) {
            return Err(trouble.clone());
        }
        let replaced = self.waiting.get(&key).map_or(0, |(_, op)| op.bytes());
        let waiting = self.waiting_bytes - replaced + op.bytes();
        if waiting + self.writing_bytes > op.room() {
            return Err(Trouble::Full(QUEUE_BYTES));
        }
        let full_before = self.waiting_bytes >= BATCH_BYTES;
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        self.waiting_bytes = waiting;
        self.waiting.insert(key, (self.arrivals, op));
        self.arrivals += 1;
        Ok(first || (!full_before && waiting >= BATCH_BYTES))
    }

    /// Remembers a dead record for the next write; it alone makes none necessary.
    pub(super) fn bury(&mut self, dead: Dead) {
        if self.dead.len() < DEAD_MAX {
            self.dead.push(dead);
        }
    }

    /// Asks for a write at once that clears `tags`, and tells `waiter` when it is durable.
    pub(super) fn ask(&mut self, tags: &[Tag], waiter: Waiter) -> Result<(), Trouble> {
        if let Some((trouble, _)) = &self.ailing {
            return Err(trouble.clone());
        }
        if self.stopped {
            return Err(Trouble::Closed);
        }
        self.cleared.extend_from_slice(tags);
        self.waiters.push(waiter);
        Ok(())
    }

    /// What the writer does at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if self.stopped {
            return Due::Stop;
        }
        let at = match (&self.ailing, self.since) {
            (Some((_, retry)), _) => Some(*retry),
            (None, _) if self.is_urgent() => Some(now),
            (None, since) => since.map(|since| since + DELAY),
        };
        if at.is_some_and(|at| at <= now) { Due::Write } else { Due::Wait(at) }
    }

    fn is_urgent(&self) -> bool {
        !self.waiters.is_empty() || self.waiting_bytes >= BATCH_BYTES || self.dead.len() >= DEAD_MAX
    }

    /// Everything that waits, to be written now.
    pub(super) fn take(&mut self) -> Batch {
        self.writing = Arc::new(mem::take(&mut self.waiting));
        self.writing_bytes = mem::take(&mut self.waiting_bytes);
        self.since = None;
        Batch {
            ops: self.writing.clone(),
            dead: mem::take(&mut self.dead),
            cleared: mem::take(&mut self.cleared),
            waiters: mem::take(&mut self.waiters),
        }
    }

    /// What was taken is in the file. Returns whether that ends a trouble.
    pub(super) fn written(&mut self) -> bool {
        self.writing = Arc::default();
        self.writing_bytes = 0;
        self.ailing.take().is_some()
    }

    /// What was taken is not in the file and waits again, unless there is something newer under its key. Returns
    /// whether that is news.
    pub(super) fn failed(&mut self, trouble: Trouble, now: Instant) -> bool {
        for (key, op) in mem::take(&mut self.writing).iter() {
            self.waiting.entry(*key).or_insert_with(|| {
                self.waiting_bytes += op.1.bytes();
                op.clone()
            });
        }
        self.writing_bytes = 0;
        self.since = (!self.waiting.is_empty()).then_some(now);
        self.ailing.replace((trouble, now + PAUSE)).is_none()
    }

    /// Notes what a reader met; the writer looks into it at once. Returns whether that is news.
    pub(super) fn report(&mut self, trouble: Trouble, now: Instant) -> bool {
        let is_news = self.ailing.is_none();
        self.ailing.get_or_insert_with(|| (trouble.clone(), now));
        self.met = Some(trouble);
        is_news
    }

    /// What was reported about the file since it was opened.
    pub(super) fn reported(&mut self) -> Option<Trouble> {
        self.met.take()
    }

    /// What ails the file.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.ailing.as_ref().map(|(trouble, _)| trouble)
    }

    /// Nothing more comes.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Ops that are not in the file.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.writing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const MS: Duration = Duration::from_millis(1);

    fn put(bytes: usize) -> Op {
        Op::Put { bytes: vec![0; bytes].into(), life: Life { put_ms: 0, ends_ms: u64::MAX } }
    }

    fn key(number: usize) -> Fingerprint {
        Fingerprint::from_bytes([u8::try_from(number).unwrap(); 32])
    }

    fn found(queue: &Queue) -> Option<usize> {
        queue.find(&KEY).map(|op| match op {
            Op::Put { bytes, .. } => bytes.len(),
            Op::Remove => 0,
        })
    }

    fn io() -> Trouble {
        Trouble::Io(Arc::new(std::io::ErrorKind::StorageFull.into()))
    }

    #[test]
    fn first_op_waits_for_others_and_a_full_batch_for_nobody() {
        let (mut queue, now) = (Queue::default(), Instant::now());

        assert_eq!(queue.due(now), Due::Wait(None));
        assert!(queue.push(KEY, put(10), now).unwrap());
        assert_eq!(queue.due(now), Due::Wait(Some(now + DELAY)));
        assert_eq!(queue.due(now + DELAY), Due::Write);
        assert!(!queue.push(key(1), put(10), now).unwrap());
        assert!(queue.push(key(2), put(BATCH_BYTES), now).unwrap());
        assert_eq!(queue.due(now), Due::Write);
    }

    #[test]
    fn what_is_being_written_is_found_until_it_is_written() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(KEY, put(10), now).unwrap();

        let batch = queue.take();
        assert_eq!((found(&queue), batch.ops.len()), (Some(10), 1));
        queue.push(KEY, Op::Remove, now).unwrap();
        assert_eq!(found(&queue), Some(0));
        queue.written();
        assert_eq!(found(&queue), Some(0));

        queue.take();
        queue.written();
        assert_eq!(found(&queue), None);
    }

    #[test]
    fn failed_write_waits_again_but_never_replaces_what_is_newer() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(KEY, put(10), now).unwrap();
        queue.push(key(1), put(20), now).unwrap();

        queue.take();
        queue.push(KEY, put(30), now).unwrap();
        queue.failed(io(), now);

        assert_eq!((found(&queue), queue.len()), (Some(30), 2));
        assert_eq!(queue.waiting_bytes, 30 + 20 + 2 * OP_BYTES);
        assert_eq!(queue.due(now), Due::Wait(Some(now + PAUSE)));
    }

    #[test]
    fn ailing_file_refuses_puts_and_takes_removals_until_a_write_succeeds() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.take();
        queue.failed(io(), now);

        assert!(matches!(queue.push(KEY, put(10), now), Err(Trouble::Io(_))));
        queue.push(KEY, Op::Remove, now).unwrap();
        assert_eq!(queue.due(now + PAUSE), Due::Write);
        queue.take();
        queue.written();

        assert!(queue.push(KEY, put(10), now).is_ok());
    }

    #[test]
    fn full_queue_refuses_puts_and_has_room_for_removals_and_replacements() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(KEY, put(QUEUE_BYTES - OP_BYTES), now).unwrap();

        assert!(matches!(queue.push(key(1), put(0), now), Err(Trouble::Full(QUEUE_BYTES))));
        queue.push(key(1), Op::Remove, now).unwrap();
        queue.push(KEY, put(10), now).unwrap();

        assert_eq!(queue.waiting_bytes, 10 + 2 * OP_BYTES);
    }

    #[test]
    fn who_asks_is_written_for_at_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (waiter, _answer) = oneshot::channel();

        queue.ask(&[Tag::from_bits(1)], waiter).unwrap();

        assert_eq!(queue.due(now + MS), Due::Write);
        assert_eq!(queue.take().cleared, [Tag::from_bits(1)]);
    }
}
