use std::fmt;

use aic_alerts::Alert;
use aic_cache::CacheStats;
use aic_monitor::{Reading, Snapshot};
use aic_router::{NanoUsd, Stats};
use serde::Serialize;

use crate::ai::Further;
use crate::{Aic, Finding};

/// The readings worth a line of their own, with their names for people.
const READINGS: [(&str, &str); 6] = [
    ("cpu_utilization_ratio", "processor"),
    ("memory_utilization_ratio", "memory"),
    ("process_resident_memory_bytes", "this program"),
    ("gpu_utilization_ratio", "GPU"),
    ("gpu_memory_utilization_ratio", "GPU memory"),
    ("temperature_celsius", "temperature"),
];

/// How everything is at one moment. Prints as a few aligned lines.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The local model, if one is loaded.
    pub model: Option<ModelStatus>,
    /// The models that are loaded when they are asked for.
    pub further: Vec<FurtherModelStatus>,
    /// What the machine reads.
    pub machine: Snapshot,
    /// What the router has done.
    pub router: Stats,
    /// What the cache has done; `None` where it is turned off.
    pub cache: Option<CacheStats>,
    /// Money spent, as far as it is known.
    pub cost: NanoUsd,
    /// Money the cache saved, as far as it is known.
    pub saved: NanoUsd,
    /// Alerts that are pending or firing.
    pub alerts: Vec<Alert>,
    /// What was looked for at the start.
    pub findings: Vec<Finding>,
}

/// The local model.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelStatus {
    /// Its name in the router.
    pub name: String,
    /// The type most of its weights are held in.
    pub dtype: String,
    /// Bits per weight as held.
    pub bits_per_weight: f64,
    /// Estimated bytes in memory.
    pub resident_bytes: u64,
    /// The device it runs on.
    pub device: String,
    /// Tokens written per second, a mean over about the last ten answers; `None` before the first.
    pub tokens_per_second: Option<f64>,
}

/// A local model that is loaded when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FurtherModelStatus {
    /// Its name in the router.
    pub name: String,
    /// From which file it was loaded, where it is, and with how much for keys and values:
    /// `chat-q4_k on cpu, context 4096 in F16`; `None` while it is not in memory.
    pub form: Option<String>,
}

impl Status {
    pub(crate) fn of(ai: &Aic) -> Self {
        let inner = &ai.inner;
        let router = inner.router.stats();
        let cache = inner.cache.as_ref().map(aic_cache::Cache::stats);
        Self {
            model: model(ai, &router),
            further: further(ai),
            machine: inner.watch.monitor.snapshot(),
            cost: router.cost(),
            saved: NanoUsd(cache.as_ref().map_or(0, |stats| stats.saved.nano_usd)),
            router,
            cache,
            alerts: inner.watch.alerts.active(),
            findings: inner.findings.clone(),
        }
    }
}

fn model(ai: &Aic, router: &Stats) -> Option<ModelStatus> {
    let local = ai.inner.local.as_ref()?;
    let model = local.model.current();
    let info = model.info();
    let measured = router.models.iter().find(|model| model.provider == "local" && model.model == local.name);
    Some(ModelStatus {
        name: local.name.clone(),
        dtype: info.dtype.to_string(),
        bits_per_weight: info.bits_per_weight,
        resident_bytes: info.resident_bytes,
        device: local.recommendation.choice.device.to_string(),
        tokens_per_second: measured.and_then(|model| model.tokens_per_second),
    })
}

fn further(ai: &Aic) -> Vec<FurtherModelStatus> {
    let status = |further: &Further| -> Vec<_> {
        let names = further.known.iter().map(|model| model.info.name.clone());
        let form = |name: &String| further.thread.keeper.form(name).map(|form| form.to_string());
        names.map(|name| FurtherModelStatus { form: form(&name), name }).collect()
    };
    ai.inner.further.as_ref().map(status).unwrap_or_default()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(model) = &self.model {
            writeln!(f, "{model}")?;
        }
        for model in &self.further {
            writeln!(f, "{model}")?;
        }
        writeln!(f, "machine  {}", machine(&self.machine))?;
        writeln!(f, "answers  {}", answers(&self.router, self.cache.as_ref()))?;
        writeln!(f, "money    {} spent, {} saved by the cache", self.cost, self.saved)?;
        write!(f, "alerts   {}", alerts(&self.alerts))
    }
}

impl fmt::Display for ModelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.resident_bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "model    {} as {} ({:.1} bits per weight), ",
            self.name, self.dtype, self.bits_per_weight
        )?;
        write!(f, "{megabytes:.1} MiB on the {}", self.device)?;
        self.tokens_per_second.map_or(Ok(()), |rate| write!(f, ", {rate:.0} tokens/s"))
    }
}

impl fmt::Display for FurtherModelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "further  {}: {}", self.name, self.form.as_deref().unwrap_or("not in memory"))
    }
}

fn machine(snapshot: &Snapshot) -> String {
    let line = READINGS.iter().filter_map(|(metric, name)| {
        let worst =
            snapshot.all(metric).filter(|reading| reading.value.is_ok()).max_by(|a, b| by_value(a, b))?;
        Some(format!("{name} {}", worst.pretty_value()))
    });
    let line: Vec<_> = line.collect();
    if line.is_empty() { "not read yet".to_owned() } else { line.join(", ") }
}

fn by_value(a: &Reading, b: &Reading) -> std::cmp::Ordering {
    let value = |reading: &Reading| reading.value.unwrap_or(f64::NEG_INFINITY);
    value(a).total_cmp(&value(b))
}

fn answers(router: &Stats, cache: Option<&CacheStats>) -> String {
    let plural = if router.calls() == 1 { "" } else { "s" };
    let calls = format!("{} call{plural} to models, {}", router.calls(), failures(router));
    match cache {
        Some(stats) => format!("{calls}; {} answered from the cache", stats.reused()),
        None => format!("{calls}; the cache is off"),
    }
}

/// How many calls failed, and whose.
fn failures(router: &Stats) -> String {
    let failing = router.models.iter().filter(|model| model.failures > 0);
    let (count, names) = failing.fold((0, Vec::new()), |(count, mut names), model| {
        names.push(format!("{}/{}", model.provider, model.model));
        (count + model.failures, names)
    });
    if count == 0 { "none failed".to_owned() } else { format!("{count} failed ({})", names.join(", ")) }
}

fn alerts(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "none".to_owned();
    }
    alerts.iter().map(|alert| alert.summary.as_str()).collect::<Vec<_>>().join("; ")
}
