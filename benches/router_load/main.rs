//! What the router adds to calls over HTTP: the same calls to the same loopback server without it are subtracted.
//!
//! `cargo bench --bench router_load`. Requests come at a rate, whether or not earlier ones have ended, and latency counts from
//! the moment a request should have started, so that a queue cannot hide. Blocks with and without the router alternate. The
//! server, the client and the pacing share this machine's cores.
//!
//! `AIC_BENCH_RATE` sets the requests per second (5,000 by default). `AIC_BENCH_PEER` names another gateway to be called in
//! turn, as in `http://127.0.0.1:4000/v1`; it should forward to this server, whose port `AIC_BENCH_PORT` then fixes.
mod caller;
mod memory;
mod pace;
mod server;
mod table;

use std::time::{Duration, Instant};

use caller::{Caller, Direct, Routed};
use server::Server;
use table::Table;
use tokio::runtime::{Builder, Runtime};

const BLOCK: Duration = Duration::from_secs(1);

fn main() {
    // Under `cargo test --benches` one short pass shows that it works.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    server::serve_if_asked();
    let server = Server::start(setting("AIC_BENCH_PORT", 0));
    let port = server.port;
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads can be started");
    if quick {
        one_at_a_time(port, 400);
        latency(&runtime, port, 200, 1);
        events(&runtime, port, 2);
        runtime.block_on(memory::per_stream(port, 20));
    } else {
        one_at_a_time(port, 10_000);
        latency(&runtime, port, setting("AIC_BENCH_RATE", 5_000), 10);
        events(&runtime, port, 30);
        runtime.block_on(memory::per_stream(port, 1_000));
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Alternates blocks of every caller; the first block of each warms it up and is not counted.
fn latency(runtime: &Runtime, port: u16, rate: u32, blocks: usize) {
    let direct = Caller::Direct(Direct::new(&server::url(port), "short"));
    let routed = Caller::Routed(Box::new(Routed::new(port, "short")));
    let peer = std::env::var("AIC_BENCH_PEER").ok().map(|url| Caller::Direct(Direct::new(&url, "short")));
    let mut callers: Vec<(&str, Caller, Table)> =
        vec![("direct", direct, Table::default()), ("routed", routed, Table::default())];
    callers.extend(peer.map(|peer| ("peer", peer, Table::default())));
    for block in 0..=blocks {
        for (_, caller, table) in &mut callers {
            let taken = pace::open_loop(runtime, rate, BLOCK, caller);
            if block > 0 {
                table.add(taken);
            }
        }
    }
    let direct = callers[0].2.clone();
    for (name, _, table) in &callers {
        table.print(&format!("router_load/{rate}_per_second/{name}"), &direct);
    }
}

/// Short answers, one at a time in turn and all in one thread: what is added where nothing queues.
fn one_at_a_time(port: u16, calls: usize) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    let callers = [
        Caller::Direct(Direct::new(&server::url(port), "short")),
        Caller::Routed(Box::new(Routed::new(port, "short"))),
    ];
    let mut tables = [Table::default(), Table::default()];
    for _ in 0..10 {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..calls / 10 {
            for (caller, times) in callers.iter().zip(&mut times) {
                let began = Instant::now();
                runtime.block_on(caller.call()).expect("the server answers");
                times.push(began.elapsed());
            }
        }
        tables.iter_mut().zip(times).for_each(|(table, times)| table.add(times));
    }
    let direct = tables[0].clone();
    for (name, table) in ["direct", "routed"].iter().zip(&tables) {
        table.print(&format!("router_load/one_at_a_time/{name}"), &direct);
    }
}

/// Long answers, one at a time, with and without the router.
fn events(runtime: &Runtime, port: u16, streams: usize) {
    let callers = [
        ("bytes_only", Caller::Direct(Direct::new(&server::url(port), "long"))),
        ("routed", Caller::Routed(Box::new(Routed::new(port, "long")))),
    ];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..streams {
        for ((_, caller), times) in callers.iter().zip(&mut times) {
            let began = Instant::now();
            runtime.block_on(caller.call()).expect("the server answers");
            times.push(began.elapsed());
        }
    }
    let each = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6 / server::LONG_EVENTS as f64
    });
    let added = each[1] - each[0];
    println!(
        "router_load/event: {:.2} µs routed, {:.2} µs for the bytes only, {added:.2} µs added",
        each[1], each[0]
    );
}
