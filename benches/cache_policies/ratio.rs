//! How many requests, and how many of their bytes, are found.

use aic_cache::Fingerprint;
use bytes::Bytes;

use crate::{
    candidate::{Candidate, NAMES, candidate},
    trace::Trace,
};

/// Prints the share of requests and of bytes found, in per cent; every cache is one piece, so that only the
/// policies differ.
pub(crate) fn print(traces: &[Trace]) {
    println!("found: requests % / bytes %");
    print!("{:28}", "");
    NAMES.iter().for_each(|name| print!("{name:>15}"));
    println!();
    for trace in traces {
        for (part, capacity_bytes) in &trace.capacities {
            print!("{:28}", format!("{}, {part}", trace.name));
            for name in NAMES {
                let found = replay(trace, &*candidate(name, *capacity_bytes, 1));
                print!("{:>15}", format!("{:.1} / {:.1}", found.requests * 100.0, found.bytes * 100.0));
            }
            println!();
        }
    }
}

struct FoundShare {
    requests: f64,
    bytes: f64,
}

/// Asks for each key and puts what is not found.
fn replay(trace: &Trace, cache: &dyn Candidate) -> FoundShare {
    let (mut hits, mut hit_bytes, mut bytes) = (0_u64, 0_u64, 0_u64);
    for number in &trace.requests {
        let (key, size) = (key(*number), trace.size(*number));
        bytes += size as u64;
        match cache.get(&key) {
            Some(_) => (hits, hit_bytes) = (hits + 1, hit_bytes + size as u64),
            None => cache.put(key, Bytes::from_static(&ZEROS[..size])),
        }
    }
    FoundShare { requests: hits as f64 / trace.requests.len() as f64, bytes: hit_bytes as f64 / bytes as f64 }
}

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A fingerprint is a hash, so the number is spread over it.
pub(crate) fn key(number: u32) -> Fingerprint {
    Fingerprint::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}
