use std::time::{Duration, Instant};

/// What a server was seen to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// Which of a server's clients takes the next request.
///
/// A client opens one HTTP/2 connection to a server and no more, however many requests it has. So each is a lane
/// for so many streams, and one more is opened when all are full: hyper's advice, and what TensorZero does. The
/// first lane with room is taken, so that the later ones run empty after a burst and can be closed. With HTTP/1.1
/// a client opens a connection for each request, and the first lane takes them all.
///
/// Before its first answer nobody knows what a server speaks; every request may then cost a connection.
#[derive(Debug)]
pub(super) struct Lanes {
    connections_max: usize,
    streams_max: usize,
    keep: Duration,
    protocol: Protocol,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    in_flight: usize,
    used: Instant,
}

/// What becomes of one who wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There is a place in this lane, now taken.
    Lane(usize),
    /// All lanes are full, and another may be opened.
    Open,
    /// The bound is reached.
    Wait,
}

impl Lanes {
    /// One empty lane. Another that is empty for `keep` is closed.
    pub(super) fn new(
        connections_max: usize,
        streams_max: usize,
        keep: Duration,
        protocol: Protocol,
        now: Instant,
    ) -> Self {
        let lanes = vec![Lane { in_flight: 0, used: now }];
        Self { connections_max, streams_max, keep, protocol, lanes }
    }

    /// The number of lanes that are open.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Takes a place in a lane, if there is one.
    pub(super) fn enter(&mut self) -> Entry {
        if self.in_flight() >= self.in_flight_max() {
            return Entry::Wait;
        }
        let room = self.room();
        let Some(index) = self.lanes.iter().position(|lane| lane.in_flight < room) else {
            return Entry::Open;
        };
        self.lanes[index].in_flight += 1;
        Entry::Lane(index)
    }

    /// Adds a lane.
    pub(super) fn open(&mut self, now: Instant) {
        self.lanes.push(Lane { in_flight: 0, used: now });
    }

    /// Gives a place back, and closes the last lanes if nobody needed them for long.
    pub(super) fn leave(&mut self, index: usize, now: Instant) {
        let lane = &mut self.lanes[index];
        lane.in_flight -= 1;
        lane.used = now;
        while self.lanes.len() > 1 && self.lanes.last().is_some_and(|lane| lane.is_over(now, self.keep)) {
            self.lanes.pop();
        }
    }

    /// Notes what an answer was spoken in.
    pub(super) fn spoke(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight).sum()
    }

    fn in_flight_max(&self) -> usize {
        match self.protocol {
            Protocol::Http2 => self.connections_max.saturating_mul(self.streams_max),
            Protocol::Unknown | Protocol::Http1 => self.connections_max,
        }
    }

    fn room(&self) -> usize {
        match self.protocol {
            Protocol::Http1 => self.connections_max,
            Protocol::Unknown | Protocol::Http2 => self.streams_max,
        }
    }
}

impl Lane {
    fn is_over(&self, now: Instant, keep: Duration) -> bool {
        self.in_flight == 0 && now.saturating_duration_since(self.used) >= keep
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEEP: Duration = Duration::from_secs(90);

    fn lanes(connections_max: usize, streams_max: usize, protocol: Protocol) -> Lanes {
        Lanes::new(connections_max, streams_max, KEEP, protocol, Instant::now())
    }

    /// Enters, where need be by a new lane; `None` if that is not possible.
    fn enter(lanes: &mut Lanes, now: Instant) -> Option<usize> {
        match lanes.enter() {
            Entry::Lane(index) => Some(index),
            Entry::Open => {
                lanes.open(now);
                enter(lanes, now)
            }
            Entry::Wait => None,
        }
    }

    fn enter_times(lanes: &mut Lanes, times: usize) -> Vec<Option<usize>> {
        (0..times).map(|_| enter(lanes, Instant::now())).collect()
    }

    #[test]
    fn http2_opens_the_next_lane_only_when_all_are_full() {
        let mut lanes = lanes(2, 2, Protocol::Http2);

        assert_eq!(enter_times(&mut lanes, 5), [Some(0), Some(0), Some(1), Some(1), None]);
        lanes.leave(0, Instant::now());
        assert_eq!(lanes.enter(), Entry::Lane(0));
    }

    #[test]
    fn http1_stays_in_one_lane_up_to_its_connections() {
        let mut lanes = lanes(3, 2, Protocol::Http1);

        assert_eq!(enter_times(&mut lanes, 4), [Some(0), Some(0), Some(0), None]);
    }

    #[test]
    fn server_seen_to_speak_http2_is_given_more() {
        let mut lanes = lanes(2, 2, Protocol::Unknown);
        assert_eq!(enter_times(&mut lanes, 3), [Some(0), Some(0), None]);

        lanes.spoke(Protocol::Http2);

        assert_eq!(enter_times(&mut lanes, 3), [Some(1), Some(1), None]);
    }

    #[test]
    fn lanes_are_closed_once_a_burst_is_long_over() {
        let mut lanes = lanes(3, 1, Protocol::Http2);
        enter_times(&mut lanes, 3);
        let over = Instant::now();
        (0..3).for_each(|lane| lanes.leave(lane, over));
        assert_eq!(lanes.len(), 3);

        lanes.enter();
        lanes.leave(0, over + KEEP);

        assert_eq!(lanes.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter,
        Leave(prop::sample::Index),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Enter),
            2 => any::<prop::sample::Index>().prop_map(Step::Leave),
            1 => (0..200u64).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_lane_is_overfull_and_none_is_refused_below_the_bound(
            connections in 1..5usize, streams in 1..5usize, http2: bool, steps in steps(),
        ) {
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            let mut lanes = lanes(connections, streams, protocol);
            let (bound, most) = if http2 { (connections * streams, connections) } else { (connections, 1) };
            let (mut inside, mut now) = (Vec::new(), Instant::now());
            for step in steps {
                match step {
                    Step::Enter => match enter(&mut lanes, now) {
                        Some(lane) => inside.push(lane),
                        None => prop_assert_eq!(inside.len(), bound),
                    },
                    Step::Leave(_) if inside.is_empty() => {}
                    Step::Leave(which) => lanes.leave(inside.swap_remove(which.index(inside.len())), now),
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                }
                prop_assert!(inside.len() <= bound);
                prop_assert!((1..=most).contains(&lanes.len()));
                prop_assert!(inside.iter().all(|lane| *lane < lanes.len()));
                prop_assert!(lanes.lanes.iter().all(|lane| lane.in_flight <= lanes.room()));
            }
        }
    }
}
