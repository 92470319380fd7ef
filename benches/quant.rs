//! Converting weights, and running the demonstration model.
//!
//! `cargo bench --bench quant`. Throughput of encoding is in bytes of F32 read; beside it, a copy of the same bytes.
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
const WEIGHTS: usize = 1 << 20;

fn codecs(c: &mut Criterion) {
    let weights: Vec<f32> = (0..WEIGHTS).map(|i| ((i * 7919) as f32).sin() * 0.05).collect();
    let mut group = c.benchmark_group("quant");
    group.throughput(Throughput::Bytes(4 * WEIGHTS as u64));
    group.bench_function("bare_copy", |b| b.iter(|| black_box(&weights).clone()));
    for dtype in [DType::F16, DType::Q8_0, DType::Q4_K] {
        group.bench_function(format!("encode/{dtype}"), |b| b.iter(|| encode(black_box(&weights), dtype)));
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
