//! Converting weights, and running the demonstration model.
//!
//! `cargo bench --bench quant`. Throughput of the codecs is in bytes of F16, on one core: encoding reads F16 and writes the type,
//! decoding reads the type and writes F32. Beside them, a copy of the same bytes.
use std::hint::black_box;
use std::time::Duration;

use aic_quant::{DType, GenerateOptions, Message, Model, decode, encode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    targets = codecs, decoding
}
criterion_main!(benches);

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/aic/models/aic-demo-f16.gguf");
/// As many as one core is given at a time; more would be shared between cores.
const WEIGHTS: usize = 1 << 17;
const TYPES: [DType; 14] = [
    DType::F32,
    DType::BF16,
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::IQ4_NL,
    DType::IQ4_XS,
    DType::Q2_K,
    DType::Q3_K,
    DType::Q4_K,
    DType::Q5_K,
    DType::Q6_K,
];

fn codecs(c: &mut Criterion) {
    let weights: Vec<f32> = (0..WEIGHTS).map(|i| ((i * 7919) as f32).sin() * 0.05).collect();
    let halves = encode(&weights, DType::F16).expect("finite weights");
    let mut group = c.benchmark_group("quant");
    group.throughput(Throughput::Bytes(halves.len() as u64));
    group.bench_function("bare_copy", |b| b.iter(|| black_box(&halves).clone()));
    group.bench_function("encode/F16", |b| b.iter(|| encode(black_box(&weights), DType::F16)));
    group.bench_function("decode/F16", |b| b.iter(|| decode(black_box(&halves), DType::F16)));
    for dtype in TYPES {
        group.bench_function(format!("encode/{dtype}"), |b| {
            b.iter(|| encode(&decode(black_box(&halves), DType::F16)?, dtype));
        });
        let bytes = encode(&weights, dtype).expect("finite weights");
        group.bench_function(format!("decode/{dtype}"), |b| b.iter(|| decode(black_box(&bytes), dtype)));
    }
    group.finish();
}

/// Sixteen tokens of an answer, prompt included.
fn decoding(c: &mut Criterion) {
    let question = [Message::user("Why is the sky blue?")];
    let options = GenerateOptions { max_tokens: 16, temperature: 0.0, ..GenerateOptions::default() };
    let mut group = c.benchmark_group("quant/answer_16_tokens");
    for dtype in [DType::F16, DType::Q8_0, DType::Q4_K] {
        let model =
            Model::options().dtype(dtype).open(MODEL).expect("the demonstration model is in the repository");
        group.bench_function(dtype.name(), |b| {
            b.iter(|| model.generate(&question, &options).expect("a short prompt").count());
        });
    }
    group.finish();
}
