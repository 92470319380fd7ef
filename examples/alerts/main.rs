//! Alerts on the live machine: the default rules, and one with a deliberately low threshold that this program breaks
//! itself by holding 128 MiB for two seconds. It goes from pending to firing to resolved, and notifiers tell of it.
use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use aic::alerts::{
    Alerts, AlertsBuilder, Labels, LogNotifier, Mqtt, Observation, Op, Rule, Severity, Source, Transition,
    Webhook, default_rules,
};
use aic::monitor::Monitor;
use clap::Parser;
use tokio::time;

/// Watch a rule being broken and mended.
#[derive(Parser)]
struct Options {
    /// Post each notification to this address too, in Alertmanager's form
    #[arg(long)]
    webhook: Option<String>,
    /// Publish each notification to this broker too, such as mqtt://localhost:1883
    #[arg(long)]
    mqtt: Option<String>,
    /// The topic to publish to
    #[arg(long, default_value = "aic/alerts")]
    topic: String,
}

const TICK: Duration = Duration::from_millis(250);
const BALLAST_BYTES: usize = 128 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    sigpipe::reset();
    let options = Options::parse();
    let monitor = Monitor::builder().interval(TICK).build()?;
    let resident =
        monitor.poll().value("process_resident_memory_bytes").ok_or("the process's memory is unknown")?;
    let builder = Alerts::builder().rules(default_rules()).rule(ballast_rule(resident)?);
    let alerts = notifiers(builder, &options)?.source(MonitorSource(monitor.clone())).build()?;

    let (_running, began) = (monitor.start()?, Instant::now());
    watch(&alerts, began, 1).await;
    println!("{}  taking 128 MiB", clock(began));
    let ballast = black_box(vec![1_u8; BALLAST_BYTES]);
    watch(&alerts, began, 3).await;
    for alert in alerts.active() {
        println!("{}  active: {} is {}, {}", clock(began), alert.rule, alert.phase, alert.summary);
    }
    println!("{}  giving them back", clock(began));
    drop(ballast);
    watch(&alerts, began, 2).await;

    alerts.flush().await;
    for to in alerts.deliveries() {
        let error = to.last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        println!("{}: {} delivered, {} failed{error}", to.notifier, to.delivered, to.failed + to.dropped);
    }
    Ok(())
}

/// Broken while this process holds 64 MiB more than it did at first.
fn ballast_rule(resident_bytes: f64) -> aic::alerts::Result<Rule> {
    let threshold = resident_bytes + BALLAST_BYTES as f64 / 2.0;
    Rule::builder("process_memory_high", "process_resident_memory_bytes", Op::Above, threshold)
        .pending_for(Duration::from_secs(1))
        .severity(Severity::Info)
        .summary("this process holds {value}; the limit is {threshold}")
        .build()
}

fn notifiers(builder: AlertsBuilder, options: &Options) -> aic::alerts::Result<AlertsBuilder> {
    let mut builder = builder.notifier(LogNotifier::new().sink(|line| println!("        log: {line}")));
    if let Some(url) = &options.webhook {
        builder = builder.notifier(Webhook::new(url)?);
    }
    if let Some(url) = &options.mqtt {
        builder = builder.notifier(Mqtt::new(url, &options.topic)?);
    }
    Ok(builder)
}

/// Evaluates the rules for some seconds and prints what changes.
async fn watch(alerts: &Alerts, began: Instant, seconds: u32) {
    for _ in 0..seconds * 4 {
        time::sleep(TICK).await;
        for Transition { rule, from, to, .. } in alerts.evaluate().await {
            println!("{}  {rule}: {from} -> {to}", clock(began));
        }
    }
}

fn clock(began: Instant) -> String {
    format!("{:5.2} s", began.elapsed().as_secs_f64())
}

/// The monitor behind the alerts' door; `aic::Aic` has the same inside.
#[derive(Debug)]
struct MonitorSource(Monitor);

impl Source for MonitorSource {
    fn latest(&self, metric: &str) -> Vec<Observation> {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let readings = self.0.latest(metric).into_iter();
        readings
            .map(|r| Observation { labels: r.labels.iter().map(text).collect(), value: r.value.ok() })
            .collect()
    }

    fn history(&self, metric: &str, labels: &Labels, range: Duration) -> Vec<f64> {
        let labels = labels.clone().into_iter().collect();
        self.0.history(metric, &labels, range).iter().map(|sample| sample.value).collect()
    }
}
