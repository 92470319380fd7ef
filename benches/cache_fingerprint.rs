//! What a fingerprint costs, beside BLAKE3 and SHA-256 of the same text in one piece, and what an outline costs.
//!
//! `cargo bench --bench cache_fingerprint`; bytes a second are of the text alone.
use std::{hint::black_box, sync::LazyLock, time::Duration};

use aic_cache::{Fingerprint, Outline, Recent, Tenant};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = chats, scripts, outlines
}
criterion_main!(benches);

static TENANT: LazyLock<Tenant> = LazyLock::new(Tenant::default);

const ENGLISH: &str = "All work and no play makes Jack a dull boy. ";

/// Conversations of several sizes, in messages of 512 bytes and in one.
fn chats(c: &mut Criterion) {
    for (name, size) in [("2KB", 2 << 10), ("64KB", 64 << 10), ("1MB", 1 << 20)] {
        let text = repeated(ENGLISH, size);
        let mut group = c.benchmark_group(format!("cache/fingerprint/{name}"));
        group.throughput(Throughput::Bytes(size as u64));
        for (name, each) in [("messages", 512), ("message", size)] {
            let chat = chat(&text, each);
            group.bench_function(name, |b| b.iter(|| print(black_box(&chat))));
        }
        let texts: Vec<_> = text.as_bytes().chunks(512).map(String::from_utf8_lossy).collect();
        group.bench_function("texts", |b| b.iter(|| print(black_box(&texts))));
        group.bench_function("bare_blake3", |b| b.iter(|| blake3::hash(black_box(text.as_bytes()))));
        group.bench_function("bare_sha256", |b| b.iter(|| Sha256::digest(black_box(text.as_bytes()))));
    }
}

/// One text of 64 KB in scripts that are checked for NFC at different speeds; the last is composed.
fn scripts(c: &mut Criterion) {
    let mut group = c.benchmark_group("cache/fingerprint/64KB");
    for (name, words) in [
        ("german", "Müßiggang ist aller Laster Anfang. "),
        ("cyrillic", "Работа без забавы. "),
        ("chinese", "只工作不玩耍，聪明孩子也变傻。"),
        ("vietnamese", "Tất cả công việc "),
        ("composed", "Mu\u{308}\u{DF}iggang ist aller Laster Anfang. "),
    ] {
        let text = repeated(words, 64 << 10);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| print(black_box(&text))));
    }
}

/// The outline of a chat, and the closest of 256.
fn outlines(c: &mut Criterion) {
    let recent = Recent::default();
    for i in 0..256 {
        let other = chat(&repeated(&format!("{i} {ENGLISH}"), 2 << 10), 512);
        recent.note(print(&other), outline(&other));
    }
    for (name, size) in [("2KB", 2 << 10), ("64KB", 64 << 10)] {
        let chat = chat(&repeated(ENGLISH, size), 512);
        let asked = outline(&chat);
        c.bench_function(&format!("cache/outline/{name}"), |b| b.iter(|| outline(black_box(&chat))));
        let name = format!("cache/closest_of_256/{name}");
        c.bench_function(&name, |b| b.iter(|| recent.closest(black_box(&asked))));
    }
}

fn print<T: serde::Serialize>(value: &T) -> Fingerprint {
    Fingerprint::of("bench 1", &TENANT, value).expect("it has a canonical form")
}

fn outline(value: &Value) -> Outline {
    Outline::of("bench 1", &TENANT, value).expect("it has a canonical form")
}

/// A request with the usual settings, its `text` cut into messages of `each` bytes.
fn chat(text: &str, each: usize) -> Value {
    let messages = text.as_bytes().chunks(each).map(String::from_utf8_lossy);
    let messages: Vec<_> = messages.map(|text| json!({"role": "user", "content": text})).collect();
    json!({
        "model": "some-model", "messages": messages, "tools": [], "stop": [], "seed": null,
        "temperature": 0.7, "top_p": 0.95, "max_tokens": 512,
    })
}

/// About `size` bytes of these words.
fn repeated(words: &str, size: usize) -> String {
    let mut text = words.repeat(size / words.len() + 1);
    text.truncate(text.floor_char_boundary(size));
    text
}
