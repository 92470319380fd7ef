//! What an entry costs beside its bytes.

use std::{
    env, fs,
    process::{self, Command},
};

use bytes::Bytes;

use crate::{
    candidate::{NAMES, candidate},
    ratio::key,
    trace,
};

/// Tables double when they are full, so what an entry costs goes up and down with the number of entries.
const ENTRIES: [u32; 4] = [10_000, 70_000, 100_000, 140_000];
const ENTRY_BYTES: usize = 100;
/// Answers that go through a full cache, and what it may hold of them.
const ANSWERS: u32 = 300_000;
const CAPACITY_BYTES: u64 = 64 << 20;
/// With this name of a cache and this number of entries in its environment, the program prints one number.
const ASKED: [&str; 2] = ["AIC_BENCH_MEMORY_OF", "AIC_BENCH_MEMORY_ENTRIES"];

/// Prints the bytes that each cache takes for an entry beside its own 100, and what a full one takes in all.
pub(crate) fn print() {
    println!(
        "\nbytes per entry beside its {ENTRY_BYTES} bytes, resident, of {ENTRIES:?} entries; MiB of a full"
    );
    println!("cache of {} MiB after {ANSWERS} answers", CAPACITY_BYTES >> 20);
    for name in NAMES {
        let figures = ENTRIES.map(|entries| format!("{:8}", in_a_fresh_process(name, entries)));
        println!("{name:16}{}{:8}", figures.concat(), in_a_fresh_process(name, 0) >> 20);
    }
}

/// Ends the process if it was started to measure one cache.
pub(crate) fn measure_if_asked() {
    let [Ok(name), Ok(entries)] = ASKED.map(env::var) else { return };
    let bytes = match entries.parse().expect("a number of entries") {
        0 => bytes_when_full(&name),
        entries => bytes_per_entry(&name, entries),
    };
    println!("{bytes}");
    process::exit(0);
}

/// Measures in a process of its own, where no earlier measurement has left room behind; no entries ask for a full
/// cache.
fn in_a_fresh_process(name: &str, entries: u32) -> u64 {
    let own = env::current_exe().expect("a running program has a path");
    let output = Command::new(own)
        .env(ASKED[0], name)
        .env(ASKED[1], entries.to_string())
        .output()
        .expect("this program can be started again");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("the program prints one number")
}

/// How much the process grows for each entry, its own bytes not counted.
///
/// Every entry is read once, because a read may make its handle larger.
fn bytes_per_entry(name: &str, entries: u32) -> u64 {
    let cache = candidate(name, 1 << 30, 8);
    let before = resident_bytes();
    for number in 0..entries {
        cache.put(key(number), Bytes::from(vec![1; ENTRY_BYTES]));
        cache.get(&key(number));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(cache.get(&key(0)).is_some(), "{name} dropped an entry although there is room");
    (grown / u64::from(entries)).saturating_sub(ENTRY_BYTES as u64)
}

/// How much the process grows while answers go through a cache that holds far fewer.
fn bytes_when_full(name: &str) -> u64 {
    let cache = candidate(name, CAPACITY_BYTES, 8);
    let before = resident_bytes();
    for number in 0..ANSWERS {
        cache.put(key(number), Bytes::from(vec![1; trace::size(number) as usize]));
        cache.get(&key(number));
    }
    resident_bytes().saturating_sub(before)
}

/// From `/proc/self/statm`, in pages of 4 KiB; 0 where there is no such file.
fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
