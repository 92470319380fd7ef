//! What a user of the crate sees.
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use aic_monitor::{Absent, Clock, Error, Labels, Moment, Monitor, Probe, Reading, Result};

const SECOND: Duration = Duration::from_secs(1);

/// Counts up by one each time it is read; fails on every third read.
#[derive(Debug, Default)]
struct Counter(u32);

impl Probe for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        self.0 += 1;
        if self.0.is_multiple_of(3) {
            return Err(Error::probe("counter", "cannot count to three"));
        }
        Ok(vec![Reading::new("count", Ok(f64::from(self.0)), at)])
    }
}

/// Answers once for each message.
#[derive(Debug)]
struct Told(mpsc::Receiver<()>);

impl Probe for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        self.0.recv().map_err(|closed| Error::probe("told", closed))?;
        Ok(vec![Reading::new("told", Ok(1.0), at)])
    }
}

/// Goes on by a second each time it is asked.
#[derive(Debug)]
struct Ticking(Instant, std::sync::atomic::AtomicU32);

impl Ticking {
    fn new() -> Self {
        Self(Instant::now(), 0.into())
    }
}

impl Clock for Ticking {
    fn now(&self) -> Instant {
        self.0 + SECOND * self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn values(monitor: &Monitor, metric: &str) -> Vec<f64> {
    monitor.history(metric, &Labels::new(), Duration::MAX).iter().map(|sample| sample.value).collect()
}

#[test]
fn each_poll_adds_one_sample_and_a_failure_leaves_a_gap() {
    let monitor =
        Monitor::builder().built_in(false).probe(Counter::default()).clock(Ticking::new()).build().unwrap();

    let second = (monitor.poll(), monitor.poll()).1;
    let third = monitor.poll();
    let fourth = monitor.poll();

    assert_eq!(second.value("count"), Some(2.0));
    assert_eq!(third.readings[0].value, Err(Absent::Failed));
    assert_eq!(third.failures[0].last, "probe `counter` failed: cannot count to three");
    assert_eq!(fourth.value("count"), Some(4.0));
    assert_eq!(fourth.failures[0].count, 1);
    assert_eq!(monitor.latest("count"), fourth.readings);
    assert_eq!(values(&monitor, "count"), [1.0, 2.0, 4.0]);
    assert_eq!(monitor.summary("count", &Labels::new(), Duration::MAX).unwrap().max, 4.0);
}

#[test]
fn hanging_probe_delays_one_round_and_no_other_probe() {
    let (tell, told) = mpsc::channel();
    let monitor = Monitor::builder()
        .built_in(false)
        .probe(Told(told))
        .probe(Counter::default())
        .deadline(Duration::from_millis(500))
        .build()
        .unwrap();

    let hanging = monitor.poll();
    tell.send(()).unwrap();
    let answered = std::iter::repeat_with(|| monitor.poll()).find(|round| round.value("told").is_some());

    assert_eq!(hanging.value("count"), Some(1.0));
    assert!(hanging.failures[0].last.contains("did not answer within 500ms"));
    assert!(answered.is_some());
}

#[test]
fn built_in_probes_fill_the_snapshot_and_the_table() {
    let monitor = Monitor::builder().build().unwrap();

    monitor.poll();
    let snapshot = monitor.poll();

    assert!(snapshot.value("memory_total_bytes").unwrap() > 0.0);
    assert!(snapshot.to_string().contains("memory_utilization_ratio"));
    let json = serde_json::to_value(&snapshot).unwrap();
    let readings = json["readings"].as_array().unwrap();
    assert!(readings.iter().all(|reading| reading["value"].is_null() != reading["absent"].is_null()));
}

#[test]
fn running_monitor_polls_until_its_handle_is_dropped() {
    let monitor = Monitor::builder()
        .built_in(false)
        .probe(Counter::default())
        .interval(Duration::from_millis(10))
        .build()
        .unwrap();

    let running = monitor.start().unwrap();
    let twice = monitor.start().map(drop);
    while values(&monitor, "count").len() < 3 {
        std::thread::yield_now();
    }
    drop(running);
    let stopped_at = values(&monitor, "count").len();

    assert!(matches!(twice, Err(Error::AlreadyRunning)));
    assert_eq!(values(&monitor, "count").len(), stopped_at);
    drop(monitor.start().unwrap());
}

#[test]
fn settings_out_of_range_are_named() {
    let message =
        |builder: aic_monitor::MonitorBuilder| builder.built_in(false).build().unwrap_err().to_string();

    assert_eq!(
        message(Monitor::builder().interval(Duration::ZERO)),
        "polling interval 0ns is shorter than 10ms"
    );
    assert_eq!(
        message(Monitor::builder().retention(SECOND)),
        "retention 1s is shorter than two polling intervals of 1s"
    );
    assert_eq!(message(Monitor::builder().points(1)), "history limit `points` is 1 but must be at least 2");
    assert_eq!(
        message(Monitor::builder().probe(Counter::default()).probe(Counter::default())),
        "two probes are named `counter`"
    );
}
