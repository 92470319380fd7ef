//! Which cache the memory store is built on: hit ratios on the same traces, what a get costs, whether tasks wait
//! for one another, and what an entry costs beside its bytes.
//!
//! `cargo bench --bench cache_policies` prints three tables; with `-- ratio`, `-- speed` or `-- memory` only one.
//! `AIC_BENCH_TRACE` names a file with one request per line, a key and, if known, its size in bytes; it is
//! replayed beside the traces made here.
mod candidate;
mod memory;
mod ratio;
mod speed;
mod trace;

fn main() {
    memory::measure_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wants = |table: &str| words.iter().all(|word| word == table || word.starts_with("--"));
    // Under `cargo test --benches` one short pass shows that it works.
    let part = if words.iter().any(|word| word == "--bench") { 1 } else { 100 };
    if wants("ratio") {
        ratio::print(&trace::all(part));
    }
    if wants("speed") {
        speed::print(part);
    }
    if wants("memory") {
        memory::print();
    }
}
