//! Loads against targets of known timing, on tokio's paused clock.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aic_bench::{
    Arrivals, ClosedLoop, Distribution, Error, Failure, OpenLoop, Report, Slo, Target, target_fn,
};
use tokio::time::sleep;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The first token after 50 ms, then nine more, 10 ms apart.
fn model() -> impl Target {
    target_fn(|_, timeline| async move {
        sleep(millis(50)).await;
        timeline.tokens(1);
        for _ in 0..9 {
            sleep(millis(10)).await;
            timeline.tokens(1);
        }
        Ok(())
    })
}

/// One request at a time, 100 ms each; the others queue.
fn single_file() -> impl Target {
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    target_fn(move |_, _| {
        let gate = gate.clone();
        async move {
            let _turn = gate.lock().await;
            sleep(millis(100)).await;
            Ok(())
        }
    })
}

#[track_caller]
fn assert_close(found: Option<Duration>, expected: Duration) {
    let found = found.expect("something was measured");
    let off = found.abs_diff(expected);
    assert!(off <= expected / 1000 + Duration::from_micros(1), "{found:?} instead of {expected:?}");
}

#[track_caller]
fn assert_all(distribution: &Distribution, count: u64, expected: Duration) {
    assert_eq!(distribution.count(), count);
    assert_close(distribution.min(), expected);
    assert_close(distribution.max(), expected);
}

#[tokio::test(start_paused = true)]
async fn closed_loop_against_known_timing_reports_each_quantity_by_its_definition() {
    let report = ClosedLoop::new(4).requests(20).run(model()).await.unwrap();

    assert_eq!((report.completed, report.failed(), report.output_tokens), (20, 0, 200));
    assert_all(&report.latency, 20, millis(140));
    assert_all(&report.ttft, 20, millis(50));
    assert_all(&report.tpot, 20, millis(10));
    assert_all(&report.itl, 180, millis(10));
    assert_all(&report.dispatch_delay, 20, Duration::ZERO);
    // Five rounds of 140 ms with four requests each.
    assert_eq!(report.elapsed, millis(700));
    assert!((report.requests_per_second().unwrap() - 20.0 / 0.7).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn warm_up_is_run_and_left_out() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let target = target_fn(move |_, _| {
        let first = counter.fetch_add(1, Ordering::Relaxed) < 2;
        async move {
            sleep(millis(if first { 500 } else { 10 })).await;
            Ok(())
        }
    });

    let report = ClosedLoop::new(1).warm_up(millis(1000)).requests(5).run(target).await.unwrap();

    assert_eq!(calls.load(Ordering::Relaxed), 7);
    assert_all(&report.latency, 5, millis(10));
}

#[tokio::test(start_paused = true)]
async fn closed_loop_for_a_time_lets_the_last_request_end() {
    let report = ClosedLoop::new(1).duration(millis(250)).run(single_file()).await.unwrap();

    assert_eq!(report.completed, 3);
    assert_eq!(report.elapsed, millis(300));
}

#[tokio::test(start_paused = true)]
async fn open_loop_charges_the_queue_to_the_target() {
    // 20 requests a second for a target that serves 10: the k-th waits (k − 1) · 50 ms before its own 100 ms.
    let load = OpenLoop::new(20.0).arrivals(Arrivals::Constant).duration(millis(1000));

    let report = load.run(single_file()).await.unwrap();

    assert_eq!(report.completed, 20);
    assert_close(report.latency.min(), millis(100));
    assert_close(report.latency.max(), millis(100 + 19 * 50));
    assert_eq!(report.elapsed, millis(2000));
}

#[tokio::test(start_paused = true)]
async fn open_loop_measures_from_the_intended_start_when_the_generator_itself_is_stopped() {
    // The first request blocks the only thread until 500 ms, as a garbage collection or a busy core would.
    let target = target_fn(|request, _| async move {
        if request == 0 {
            tokio::time::advance(millis(500)).await;
        }
        Ok(())
    });

    let report =
        OpenLoop::new(10.0).arrivals(Arrivals::Constant).duration(millis(1000)).run(target).await.unwrap();

    assert_eq!(report.completed, 10);
    // Due at 100, 200, 300 and 400 ms, sent at 500 ms.
    assert_close(report.latency.quantile(0.9), millis(400));
    assert!(
        report.warnings().iter().any(|warning| warning.contains("started late")),
        "{:?}",
        report.warnings()
    );
}

#[tokio::test(start_paused = true)]
async fn due_requests_beyond_the_limit_are_counted_as_dropped() {
    let load = OpenLoop::new(20.0).arrivals(Arrivals::Constant).duration(millis(1000)).max_in_flight(1);

    let report = load.run(single_file()).await.unwrap();

    assert_eq!(report.completed + report.dropped, 20);
    assert!(report.dropped >= 9, "{}", report.dropped);
    assert!(report.warnings().iter().any(|warning| warning.contains("not sent")));
}

#[tokio::test(start_paused = true)]
async fn poisson_load_is_repeated_by_its_seed() {
    let load = OpenLoop::new(50.0).duration(millis(2000)).seed(3);

    let reports = [load.run(model()).await.unwrap(), load.run(model()).await.unwrap()];

    assert_eq!(reports[0].completed, reports[1].completed);
    let other = load.clone().seed(4).run(model()).await.unwrap();
    assert_ne!(reports[0].completed, other.completed);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_by_kind_and_kept_out_of_the_latencies() {
    let target = target_fn(|request, _| async move {
        match request % 4 {
            0 => Err(Failure::new("refused")),
            1 => panic!("a bug in the target"),
            2 => {
                sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
            _ => {
                sleep(millis(20)).await;
                Ok(())
            }
        }
    });

    let report = ClosedLoop::new(2).requests(40).timeout(millis(200)).run(target).await.unwrap();

    let kinds: Vec<_> = report.failures.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(kinds, [("panic", 10), ("refused", 10), ("timeout", 10)]);
    assert_all(&report.latency, 10, millis(20));
}

#[tokio::test(start_paused = true)]
async fn goodput_counts_only_requests_within_every_bound() {
    let target = target_fn(|request, timeline| async move {
        sleep(millis(if request % 2 == 0 { 10 } else { 30 })).await;
        timeline.tokens(1);
        Ok(())
    });
    let slo = Slo::default().ttft(millis(20)).latency(millis(100)).tpot(millis(5));

    let report = ClosedLoop::new(1).requests(10).slo(slo).run(target).await.unwrap();

    assert_eq!(report.good, Some(5));
    assert!((report.goodput().unwrap() - 5.0 / 0.2).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn abandoning_a_run_ends_the_requests_under_way() {
    let under_way = Arc::new(());
    let held = under_way.clone();
    let target = target_fn(move |_, _| {
        let held = held.clone();
        async move {
            sleep(Duration::from_secs(3600)).await;
            drop(held);
            Ok(())
        }
    });

    let abandoned =
        tokio::time::timeout(millis(10), ClosedLoop::new(8).timeout(Duration::MAX).run(target)).await;
    sleep(millis(1)).await;

    assert!(abandoned.is_err());
    assert_eq!(Arc::strong_count(&under_way), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_survives_being_saved() {
    let report = OpenLoop::new(50.0).duration(millis(500)).run(model()).await.unwrap();

    let saved = serde_json::to_string(&report).unwrap();

    assert_eq!(serde_json::from_str::<Report>(&saved).unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn a_report_prints_its_table_and_says_which_percentiles_are_guesses() {
    let report = ClosedLoop::new(2).requests(50).run(model()).await.unwrap();

    let printed = report.to_string();

    assert!(
        printed.starts_with("closed loop, 2 at once, 3.50 s\n50 ended well, 0 failed, 0 dropped"),
        "{printed}"
    );
    assert!(
        printed.contains("TTFT              50.0 ms   50.0 ms  ~50.0 ms  ~50.0 ms  ~50.0 ms   50.0 ms"),
        "{printed}"
    );
    assert!(
        printed.contains("~ too few requests: p95 needs 90, p99 needs 459, p99.9 needs 4603"),
        "{printed}"
    );
}

#[tokio::test]
async fn settings_that_measure_nothing_are_refused() {
    let nothing = || target_fn(|_, _| async { Ok(()) });

    assert_eq!(ClosedLoop::new(0).run(nothing()).await, Err(Error::NoConcurrency));
    assert!(ClosedLoop::new(1).requests(0).run(nothing()).await.is_err());
    assert!(OpenLoop::new(f64::NAN).run(nothing()).await.is_err());
    assert!(OpenLoop::new(0.0).run(nothing()).await.is_err());
    assert!(OpenLoop::new(1.0).duration(Duration::ZERO).run(nothing()).await.is_err());
}
