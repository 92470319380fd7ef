//! Encoding and decoding the K types, on one thread.
//!
//! `cargo bench --bench quant_blocks`. Throughput is in weights; each F16 weight that a file has is 2 bytes. Beside it, a copy of
//! the same numbers.
use std::hint::black_box;
use std::time::Duration;

use aic_quant::{DType, decode, encode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = blocks
}
criterion_main!(benches);

/// As many as one thread takes without a second being started.
const WEIGHTS: usize = 1 << 18;

fn blocks(c: &mut Criterion) {
    let weights = normal(WEIGHTS);
    let mut group = c.benchmark_group("quant/blocks");
    group.throughput(Throughput::Elements(WEIGHTS as u64));
    group.bench_function("bare_copy", |b| b.iter(|| black_box(&weights).clone()));
    for dtype in [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K] {
        group.bench_function(format!("encode/{dtype}"), |b| b.iter(|| encode(black_box(&weights), dtype)));
        let bytes = encode(&weights, dtype).expect("whole blocks");
        group.bench_function(format!("decode/{dtype}"), |b| b.iter(|| decode(black_box(&bytes), dtype)));
    }
    group.finish();
}

/// Numbers close to a normal distribution: sums of twelve from a linear congruential generator.
fn normal(length: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..length).map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * 0.02).collect()
}
