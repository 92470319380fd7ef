//! What this machine is and how it feels: its description, then a few live snapshots with bars, and a sparkline of
//! what was seen so far. What cannot be read says why.
use std::{error::Error, thread, time::Duration};

use aic::monitor::{Labels, Machine, Monitor, Reading, Snapshot};
use clap::Parser;
use serde_json::json;

/// Describe this machine and watch it for a few seconds.
#[derive(Parser)]
struct Options {
    /// Print every reading once, as a table, and stop
    #[arg(long)]
    once: bool,
    /// Print the machine and every reading once, as JSON, and stop
    #[arg(long)]
    json: bool,
    /// How many snapshots to show
    #[arg(long, default_value_t = 5)]
    samples: u32,
    /// Seconds between them
    #[arg(long, default_value_t = 1.0)]
    interval: f64,
}

/// The metrics shown live: the name for people and the name of the metric.
const SHOWN: [(&str, &str); 6] = [
    ("processor", "cpu_utilization_ratio"),
    ("memory", "memory_utilization_ratio"),
    ("disk", "disk_utilization_ratio"),
    ("gpu", "gpu_utilization_ratio"),
    ("gpu memory", "gpu_memory_utilization_ratio"),
    ("waiting", "pressure_stall_ratio"),
];
const ALL: Duration = Duration::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    sigpipe::reset();
    let options = Options::parse();
    let interval = Duration::try_from_secs_f64(options.interval)?;
    let machine = Machine::detect();
    let monitor = Monitor::builder().interval(interval).build()?;
    if options.json {
        let all = json!({ "machine": machine, "snapshot": second_poll(&monitor) });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else if options.once {
        print!("{machine}\n{}", second_poll(&monitor));
    } else {
        print!("{machine}");
        watch(&monitor, options.samples)?;
    }
    Ok(())
}

/// Rates need two readings.
fn second_poll(monitor: &Monitor) -> Snapshot {
    monitor.poll();
    thread::sleep(Duration::from_millis(250));
    monitor.poll()
}

/// Lets the monitor poll in the background and shows what it knows, an interval apart.
fn watch(monitor: &Monitor, samples: u32) -> Result<(), Box<dyn Error>> {
    let _running = monitor.start()?;
    for _ in 0..samples {
        thread::sleep(monitor.interval());
        println!();
        for (name, metric) in SHOWN {
            monitor.latest(metric).iter().for_each(|reading| show(monitor, name, reading));
        }
    }
    print!("\n{}", over_all(monitor));
    Ok(())
}

fn show(monitor: &Monitor, name: &str, reading: &Reading) {
    let values: Vec<_> =
        monitor.history(&reading.metric, &reading.labels, ALL).iter().map(|s| s.value).collect();
    let labels: Vec<_> = reading.labels.iter().map(|(_, value)| value).collect();
    let name = format!("{name} {}", labels.join(" "));
    println!("{name:<22} {} {:>7}  {}", bar(reading), reading.pretty_value(), sparkline(&values));
}

/// A ratio as a bar of 20 places; blank where there is none.
fn bar(reading: &Reading) -> String {
    let Ok(ratio) = reading.value else { return " ".repeat(20) };
    let full = ((ratio * 20.0).round() as usize).min(20);
    "█".repeat(full) + &"░".repeat(20 - full)
}

/// The last 40 ratios, one character each.
fn sparkline(ratios: &[f64]) -> String {
    let level = |ratio: &f64| char::from_u32('▁' as u32 + (ratio * 7.0).round() as u32).unwrap_or('▁');
    ratios.iter().rev().take(40).rev().map(level).collect()
}

fn over_all(monitor: &Monitor) -> String {
    let percent = |ratio: f64| format!("{:.1} %", ratio * 100.0);
    match monitor.summary("cpu_utilization_ratio", &Labels::new(), ALL) {
        Some(cpu) => format!("processor: mean {}, at most {}\n", percent(cpu.mean), percent(cpu.max)),
        None => String::new(),
    }
}
