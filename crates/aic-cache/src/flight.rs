//! One computation per key: the first caller leads, the others wait in line behind it.
//!
//! The line is a fair asynchronous mutex around the flight's state. Whoever holds the mutex while the state
//! is `Open` leads. A leader that lands writes its outcome for those in line; one that is dropped lets go of
//! the mutex, and the next in line leads; one whose answer must not be shared dissolves the flight, and
//! everybody in line goes alone; one that streams opens its doors, and everybody in line joins the stream.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use crate::{
    Fingerprint,
    tee::{Invitation, Tee},
};

/// The flights in progress: of answers `V`, some of them streamed in pieces `P`.
#[derive(Debug)]
pub(crate) struct Flights<V, P> {
    by_key: Mutex<HashMap<Fingerprint, Flight<V, P>>>,
    landed: AtomicU64,
}

/// One key's line, and how many are in it including the leader.
#[derive(Debug)]
struct Flight<V, P> {
    line: Arc<Line<State<V, P>>>,
    seats: usize,
}

#[derive(Debug)]
enum State<V, P> {
    Open,
    Live(Invitation<P>, Arc<AtomicU64>),
    Landed(V, SystemTime),
    Dissolved,
}

/// What getting in line came to.
#[derive(Debug)]
pub(crate) enum Turn<V, P> {
    /// Compute the value.
    Lead(Lead<V, P>),
    /// The stream of the value another caller is computing.
    Live(Tee<P>),
    /// The value another caller computed, and when.
    Landed(V, SystemTime),
    /// Compute the value alone; it is not to be shared.
    Alone,
}

impl<V, P> Default for Flights<V, P> {
    fn default() -> Self {
        Self { by_key: Mutex::default(), landed: AtomicU64::new(0) }
    }
}

impl<V: Clone, P: Clone> Flights<V, P> {
    /// How many flights have landed so far. If it has not changed between a look into the store and the
    /// start of a flight, then nobody has stored anything in between.
    pub(crate) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    /// Gets in line for `key` and waits until the flight lands, dissolves, can be joined, or is ours to lead.
    pub(crate) async fn board(self: &Arc<Self>, key: &Fingerprint) -> Turn<V, P> {
        let seat = Seat::take(self, key);
        let state = seat.line.clone().lock_owned().await;
        Self::turn(state, seat)
    }

    /// Leads the flight for `key` if there is none.
    pub(crate) fn board_first(self: &Arc<Self>, key: &Fingerprint) -> Option<Lead<V, P>> {
        let seat = Seat::take(self, key);
        let state = seat.line.clone().try_lock_owned().ok()?;
        match Self::turn(state, seat) {
            Turn::Lead(lead) => Some(lead),
            _ => None,
        }
    }

    fn turn(mut state: OwnedMutexGuard<State<V, P>>, seat: Seat<V, P>) -> Turn<V, P> {
        match &*state {
            State::Landed(value, at) => return Turn::Landed(value.clone(), *at),
            State::Dissolved => return Turn::Alone,
            State::Live(invitation, joined) => {
                if let Some(tee) = invitation.accept() {
                    joined.fetch_add(1, Ordering::Relaxed);
                    return Turn::Live(tee);
                }
                // Everybody who read the stream has left before its end.
                *state = State::Open;
            }
            State::Open => {}
        }
        Turn::Lead(Lead { state: Some(state), joined: Arc::default(), seat })
    }
}

/// The right to compute the value of one key. Dropped without landing, it passes to the next in line.
#[derive(Debug)]
pub(crate) struct Lead<V, P> {
    // Declared first, so that the line moves on before the seat is given up. `None` once the flight is live.
    state: Option<OwnedMutexGuard<State<V, P>>>,
    joined: Arc<AtomicU64>,
    seat: Seat<V, P>,
}

impl<V, P> Lead<V, P> {
    /// Takes the doors out, to be opened when there is a stream to join.
    pub(crate) fn doors(&mut self) -> Option<Doors<V, P>> {
        let joined = self.joined.clone();
        self.state.take().map(|state| Doors { state, joined })
    }

    /// How many have joined the stream so far.
    pub(crate) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Hands `value` to everybody in line. Those who come while the returned flight is held still get it.
    pub(crate) fn land(mut self, value: V, at: SystemTime) -> Landing<V, P> {
        if let Some(state) = &mut self.state {
            **state = State::Landed(value, at);
        }
        Landing(self.seat)
    }

    /// Sends everybody in line off to compute the value alone. Those who have joined a stream read on.
    pub(crate) fn dissolve(mut self) {
        if let Some(state) = &mut self.state {
            **state = State::Dissolved;
        }
        self.seat.close();
    }
}

/// The doors of a flight whose leader streams. Dropped closed, the next in line leads.
#[derive(Debug)]
pub(crate) struct Doors<V, P> {
    state: OwnedMutexGuard<State<V, P>>,
    joined: Arc<AtomicU64>,
}

impl<V, P: Clone> Doors<V, P> {
    /// Lets everybody in line, and all who come later, join `tee`.
    pub(crate) fn open(mut self, tee: &Tee<P>) {
        *self.state = State::Live(tee.invitation(), self.joined);
    }
}

/// A flight whose value is known and being stored. Dropping it ends the flight.
#[derive(Debug)]
pub(crate) struct Landing<V, P>(Seat<V, P>);

impl<V, P> Drop for Landing<V, P> {
    fn drop(&mut self) {
        self.0.flights.landed.fetch_add(1, Ordering::Release);
        self.0.close();
    }
}

/// A place in a key's line; the last one to leave takes the flight off the list.
#[derive(Debug)]
struct Seat<V, P> {
    flights: Arc<Flights<V, P>>,
    key: Fingerprint,
    line: Arc<Line<State<V, P>>>,
}

impl<V, P> Seat<V, P> {
    fn take(flights: &Arc<Flights<V, P>>, key: &Fingerprint) -> Self {
        let mut by_key = flights.by_key.lock();
        let flight =
            by_key.entry(*key).or_insert_with(|| Flight { line: Arc::new(Line::new(State::Open)), seats: 0 });
        flight.seats += 1;
        Self { flights: flights.clone(), key: *key, line: flight.line.clone() }
    }

    /// Takes the flight off the list, so that later callers start another.
    fn close(&self) {
        self.leave(|_| true);
    }

    /// Changes our flight, unless the list already holds a later one, and takes it off if `ended`.
    fn leave(&self, ended: impl FnOnce(&mut Flight<V, P>) -> bool) {
        let mut by_key = self.flights.by_key.lock();
        let ours = by_key.get_mut(&self.key).filter(|flight| Arc::ptr_eq(&flight.line, &self.line));
        if ours.is_some_and(ended) {
            by_key.remove(&self.key);
        }
    }
}

impl<V, P> Drop for Seat<V, P> {
    fn drop(&mut self) {
        self.leave(|flight| {
            flight.seats -= 1;
            flight.seats == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::{FutureExt, poll};

    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    async fn lead(flights: &Arc<Flights<u32, u8>>) -> Lead<u32, u8> {
        match flights.board(&KEY).await {
            Turn::Lead(lead) => lead,
            other => panic!("not the leader: {other:?}"),
        }
    }

    #[tokio::test]
    async fn those_in_line_get_the_value_and_the_list_is_empty_afterwards() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let leader = lead(&flights).await;
        let mut follower = Box::pin(flights.board(&KEY));
        assert!(poll!(&mut follower).is_pending());

        drop(leader.land(5, NOW));

        assert!(matches!(follower.await, Turn::Landed(5, NOW)));
        assert!(flights.by_key.lock().is_empty());
        assert_eq!(flights.landed(), 1);
    }

    #[tokio::test]
    async fn dropped_leader_is_followed_by_the_next_in_line_only() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let leader = lead(&flights).await;
        let mut second = Box::pin(flights.board(&KEY));
        let mut third = Box::pin(flights.board(&KEY));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());

        drop(leader);

        let Poll::Ready(Turn::Lead(second)) = poll!(&mut second) else { panic!("second does not lead") };
        assert!(poll!(&mut third).is_pending());
        drop(second.land(6, NOW));
        assert!(matches!(third.await, Turn::Landed(6, _)));
    }

    #[tokio::test]
    async fn dissolved_flight_sends_everybody_off_alone_and_newcomers_start_another() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let leader = lead(&flights).await;
        let mut follower = Box::pin(flights.board(&KEY));
        assert!(poll!(&mut follower).is_pending());

        leader.dissolve();

        let newcomer = lead(&flights).await;
        assert!(matches!(follower.await, Turn::Alone));
        assert_eq!(flights.by_key.lock().len(), 1);
        drop(newcomer);
        assert!(flights.by_key.lock().is_empty());
    }

    #[tokio::test]
    async fn follower_that_gives_up_leaves_nothing_behind() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let leader = lead(&flights).await;
        assert!(flights.board(&KEY).now_or_never().is_none());

        drop(leader);

        assert!(flights.by_key.lock().is_empty());
    }

    #[tokio::test]
    async fn newcomer_during_the_landing_gets_the_value_at_once() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let landing = lead(&flights).await.land(7, NOW);

        assert!(matches!(flights.board(&KEY).await, Turn::Landed(7, _)));

        drop(landing);
        assert!(matches!(flights.board(&KEY).await, Turn::Lead(_)));
    }

    #[tokio::test]
    async fn other_keys_fly_on_their_own() {
        let flights = Arc::new(Flights::<u32, u8>::default());
        let _leader = lead(&flights).await;

        assert!(matches!(flights.board(&Fingerprint::from_bytes([8; 32])).await, Turn::Lead(_)));
    }
}
