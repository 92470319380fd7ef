//! What a look at the machine costs, beside the bare calls into `sysinfo` that it is built on.
//!
//! `cargo bench --bench monitor`. The GPU is not among the probes here.
use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use aic_monitor::{Clock, Labels, Machine, Monitor};
use criterion::{Criterion, criterion_group, criterion_main};
use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind,
    ProcessesToUpdate, System,
};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = poll, bare_sysinfo, ask, detect
}
criterion_main!(benches);

/// Goes on by a second each time it is asked, so that every poll reads everything and the history is full soon.
#[derive(Debug)]
struct Hasty(Instant, AtomicU32);

impl Clock for Hasty {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(u64::from(self.1.fetch_add(1, Ordering::Relaxed)))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn monitor() -> Monitor {
    let clock = Hasty(Instant::now(), AtomicU32::new(0));
    Monitor::builder().clock(clock).build().expect("the defaults are valid")
}

/// One round of all probes: read, remembered and put together.
fn poll(c: &mut Criterion) {
    let monitor = monitor();
    c.bench_function("monitor/poll/all_probes", |b| b.iter(|| monitor.poll()));
}

/// The same numbers from `sysinfo`, thrown away; it has no pressure and no limits of control groups.
fn bare_sysinfo(c: &mut Criterion) {
    let mut system = System::new().expect("the system is supported");
    let (mut disks, mut networks) = (Disks::new().expect("disks"), Networks::new().expect("networks"));
    let mut components = Components::new().expect("components");
    let (pid, all) =
        (Pid::from_u32(std::process::id()), DiskRefreshKind::nothing().with_storage().with_io_usage());
    let process = ProcessRefreshKind::nothing().without_tasks().with_cpu().with_memory();
    c.bench_function("monitor/bare_sysinfo/refresh", |b| {
        b.iter(|| {
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
            system.refresh_memory_specifics(MemoryRefreshKind::everything());
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, process);
            disks.refresh_specifics(true, all);
            networks.refresh(true);
            components.refresh(true);
            black_box(System::load_average())
        });
    });
}

/// Questions to a monitor whose history is full.
fn ask(c: &mut Criterion) {
    let (monitor, none, range) = (monitor(), Labels::new(), Duration::MAX);
    (0..1000).for_each(|_| drop(monitor.poll()));
    c.bench_function("monitor/ask/snapshot", |b| b.iter(|| monitor.snapshot()));
    c.bench_function("monitor/ask/latest", |b| b.iter(|| monitor.latest("memory_utilization_ratio")));
    c.bench_function("monitor/ask/summary_900", |b| {
        b.iter(|| monitor.summary("memory_utilization_ratio", &none, range));
    });
    c.bench_function("monitor/ask/trend_900", |b| {
        b.iter(|| monitor.trend("memory_utilization_ratio", &none, range));
    });
}

fn detect(c: &mut Criterion) {
    c.bench_function("monitor/machine/detect", |b| b.iter(Machine::detect));
}
