//! How much memory hostile model files make their readers take: no length is believed.
//!
//! A test binary of its own, because its allocator counts for all threads.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#[path = "fixtures/gguf.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod fixtures;

use std::alloc::System;

use aic_quant::TensorSource;
use aic_quant::gguf::File;
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What reading any file takes: buffers, the tables of a hash map, messages.
const FIXED_BYTES: usize = 64 << 10;

/// Bytes allocated while `work` runs, those given back in between counted too.
fn allocated<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATOR.total_allocated();
    drop(work());
    ALLOCATOR.total_allocated() - before
}

/// One test, so that no other thread allocates meanwhile.
#[test]
fn bad_files_take_no_more_than_twice_their_size() {
    let tolerable = fixtures::tolerable_files().into_iter().map(|(case, bytes, _)| (case, bytes));
    let bad = fixtures::bad_files().into_iter().map(|(case, bytes, _)| (case, bytes));
    for (case, bytes) in bad.chain(tolerable) {
        for tail in [0, 4 << 20] {
            let mut bytes = bytes.clone();
            bytes.resize(bytes.len() + tail, 0xa5);
            let limit = 2 * bytes.len() + FIXED_BYTES;
            // The file itself is held in memory by the test.
            let bytes: std::sync::Arc<[u8]> = bytes.into();

            let strict = allocated(|| File::from_bytes(std::sync::Arc::clone(&bytes)));
            let lenient = allocated(|| File::from_bytes_lenient(std::sync::Arc::clone(&bytes)));

            assert!(strict <= limit, "{case}: {strict} bytes, strictly");
            assert!(lenient <= limit, "{case}: {lenient} bytes, leniently");
        }
    }
    data_that_are_not_there_take_nothing();
    packed_headers_take_a_small_multiple_of_their_size();
}

/// A file that says it has a terabyte of data can be looked at; reading them fails before there is room for them.
fn data_that_are_not_there_take_nothing() {
    let bytes = fixtures::Raw::header(3, 1, 0).tensor("t", &[1 << 40], 24, 0).data(64);
    let file = File::from_bytes_lenient(bytes).unwrap();
    let source: &dyn TensorSource = &file;

    let taken = allocated(|| assert!(source.read(&source.tensors()[0]).is_err()));

    assert!(taken < FIXED_BYTES, "{taken} bytes");
}

/// What is really in a header takes more room in memory than in the file, and no more than this much more.
fn packed_headers_take_a_small_multiple_of_their_size() {
    let empty_strings = fixtures::Raw::header(3, 0, 1).text("k").u32(9).u32(8).u64(1 << 16);
    let flags = fixtures::Raw::header(3, 0, 1).text("k").u32(9).u32(7).u64(1 << 16);
    let entries = (0..10_000)
        .fold(fixtures::Raw::header(3, 0, 10_000), |raw, i| raw.text(&format!("{i:x}")).u32(0).bytes(&[0]));
    let tensors = (0..10_000)
        .fold(fixtures::Raw::header(3, 10_000, 0), |raw, i| raw.tensor(&format!("{i:x}"), &[0], 0, 0));
    for (case, raw, extra, limit) in [
        ("empty strings", empty_strings, 8 << 16, 12),
        ("flags", flags, 1 << 16, 4),
        ("entries", entries, 0, 24),
        ("tensors", tensors, 0, 24),
    ] {
        let mut bytes = raw.0;
        bytes.resize(bytes.len() + extra, 0);
        let size = bytes.len();
        let bytes: std::sync::Arc<[u8]> = bytes.into();

        let taken = allocated(|| File::from_bytes(bytes).unwrap());

        println!("{case}: {:.1} times the file's size", taken as f64 / size as f64);
        assert!(taken <= limit * size + FIXED_BYTES, "{case}: {taken} bytes for {size}");
    }
}
