//! What measuring costs: each output of a request and each finished request, beside the bare look at the clock that no
//! measurement can do without.
//!
//! `cargo bench --bench bench`
use std::{hint::black_box, time::Duration};

use aic_bench::{Distribution, Recorder, Sample, Slo, Timeline};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tokio::time::Instant;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = event, request
}
criterion_main!(benches);

fn event(c: &mut Criterion) {
    c.bench_function("bench/bare_instant_now", |b| b.iter(|| black_box(std::time::Instant::now())));
    c.bench_function("bench/bare_tokio_instant_now", |b| b.iter(|| black_box(Instant::now())));
    // Sixty-four outputs to each timeline, as in a short answer; the figure is for all of them.
    c.bench_function("bench/timeline/64_tokens", |b| {
        b.iter_batched(
            Timeline::default,
            |timeline| (0..64).for_each(|_| timeline.tokens(1)),
            BatchSize::SmallInput,
        );
    });
    let mut distribution = Distribution::new();
    c.bench_function("bench/distribution/record", |b| {
        b.iter(|| distribution.record(black_box(Duration::from_micros(12_345))));
    });
}

/// A finished request with 64 tokens, checked against a service level objective.
fn request(c: &mut Criterion) {
    let (began, timeline) = (Instant::now(), Timeline::default());
    (0..64).for_each(|_| timeline.tokens(1));
    let sample = Sample::ending_now(began, began, &timeline, Ok(()));
    let mut recorder = Recorder::new(Some(Slo::default().latency(Duration::from_secs(1))));
    c.bench_function("bench/recorder/request_of_64_tokens", |b| {
        b.iter(|| recorder.record(black_box(&sample)));
    });
}
