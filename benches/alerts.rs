//! What evaluating a thousand rules costs, beside the bare comparison of a thousand numbers in a map.
//!
//! `cargo bench --bench alerts`.
use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use aic_alerts::state::{Input, State, Timing};
use aic_alerts::{Alerts, Op, Rule, TableSource};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = evaluate, bare_compare, step
}
criterion_main!(benches);

const RULES: usize = 1000;

fn metric(number: usize) -> String {
    format!("metric_{number}_ratio")
}

/// A thousand rules over a thousand metrics, all of which stand at `value`; a rule is broken above 0.9.
fn alerts(value: f64) -> Alerts {
    let table = TableSource::new();
    (0..RULES).for_each(|i| table.set(&metric(i), [("device", "0")], Some(value)));
    let rule =
        |i| Rule::builder(format!("rule_{i}"), metric(i), Op::Above, 0.9).build().expect("the rule is valid");
    Alerts::builder()
        .rules((0..RULES).map(rule))
        .source(Arc::new(table))
        .build()
        .expect("the settings are valid")
}

/// An evaluation in which nothing changes: no rule is broken, or each is and has been.
fn evaluate(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    for (case, value) in [("quiet", 0.5), ("firing", 0.95)] {
        let alerts = alerts(value);
        let changed = runtime.block_on(alerts.evaluate()).len();
        assert_eq!(changed, if case == "firing" { RULES } else { 0 });
        c.bench_function(&format!("alerts/evaluate_1000/{case}"), |b| {
            b.to_async(&runtime).iter(|| alerts.evaluate());
        });
    }
}

fn bare_compare(c: &mut Criterion) {
    let table: BTreeMap<String, f64> = (0..RULES).map(|i| (metric(i), 0.5)).collect();
    let names: Vec<_> = (0..RULES).map(metric).collect();
    c.bench_function("alerts/bare_compare_1000/map", |b| {
        b.iter(|| names.iter().filter(|name| table[black_box(*name)] > 0.9).count());
    });
}

/// One step of one alert's state.
fn step(c: &mut Criterion) {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let timing = Timing { pending_for: second, keep_firing_for: second, absent_for: second };
    let state = State::inactive(start);
    c.bench_function("alerts/state/step", |b| {
        b.iter(|| black_box(state).step(&timing, black_box(Input::Breach), start + second));
    });
}
