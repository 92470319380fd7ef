//! Statistics of router and cache behind the monitor's door.
use std::sync::Arc;

use aic_monitor::{Absent, Moment, Probe, Reading};
use aic_router::{ModelStats, Router};
use parking_lot::Mutex;

use crate::keeping::Answers;

/// What router and cache have done, as readings named `router_…` and `answer_cache_…`.
///
/// A monitor's threads may outlive the monitor by a moment, and a cache holds its folder for as long as anybody holds
/// the cache. So the probe has its sources only until its [`Lifetime`] ends.
#[derive(Debug)]
pub(crate) struct Readings(Arc<Mutex<Option<Sources>>>);

/// Dropped with the router and the cache; from then on there is nothing to read.
#[derive(Debug)]
pub(crate) struct Lifetime(Arc<Mutex<Option<Sources>>>);

#[derive(Debug)]
struct Sources {
    router: Router,
    cache: Option<Answers>,
}

impl Readings {
    pub(crate) fn new(router: Router, cache: Option<Answers>) -> (Self, Lifetime) {
        let sources = Arc::new(Mutex::new(Some(Sources { router, cache })));
        (Self(sources.clone()), Lifetime(sources))
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Probe for Readings {
    fn name(&self) -> &str {
        "aic"
    }

    fn read(&mut self, at: Moment) -> aic_monitor::Result<Vec<Reading>> {
        let sources = self.0.lock();
        let Some(Sources { router, cache }) = &*sources else { return Ok(Vec::new()) };
        let models = router.stats().models;
        let routed = models.iter().flat_map(|model| of_model(model, at));
        Ok(routed.chain(cache.iter().flat_map(|cache| of_cache(cache, at))).collect())
    }
}

fn of_model(model: &ModelStats, at: Moment) -> Vec<Reading> {
    let first = model.first_content.map(|time| time.as_secs_f64()).ok_or(Absent::NotYet);
    let rate = model.tokens_per_second.ok_or(Absent::NotYet);
    [
        ("router_calls_total", Ok(model.calls as f64)),
        ("router_failures_total", Ok(model.failures as f64)),
        ("router_output_tokens_total", Ok(model.output_tokens as f64)),
        ("router_cost_dollars_total", Ok(model.cost.dollars())),
        ("router_first_content_seconds", first),
        ("router_output_tokens_per_second", rate),
    ]
    .map(|(metric, value)| {
        Reading::new(metric, value, at)
            .label("provider", model.provider.clone())
            .label("model", model.model.clone())
    })
    .into()
}

fn of_cache(cache: &Answers, at: Moment) -> Vec<Reading> {
    let stats = cache.stats();
    let mut readings = vec![
        Reading::new("answer_cache_hits_total", Ok(stats.reused() as f64), at),
        Reading::new("answer_cache_stores_total", Ok(stats.stores as f64), at),
        Reading::new("answer_cache_hit_ratio", stats.hit_ratio().ok_or(Absent::NotYet), at),
        Reading::new("answer_cache_saved_dollars_total", Ok(stats.saved.nano_usd as f64 / 1e9), at),
        Reading::new("answer_cache_saved_tokens_total", Ok(stats.saved.tokens as f64), at),
    ];
    for tier in &stats.tiers {
        let known = |value: Option<u64>| value.map(|value| value as f64).ok_or(Absent::NotSupported);
        let p99 = stats.latency.hits.get(tier.tier).and_then(|latency| latency.quantile(0.99));
        let of_tier = [
            ("answer_cache_tier_bytes", known(tier.bytes)),
            ("answer_cache_tier_evictions_total", known(tier.evictions)),
            ("answer_cache_tier_hits_total", Ok(stats.hits.get(tier.tier).map_or(0.0, |hits| *hits as f64))),
            ("answer_cache_tier_hit_seconds_p99", p99.map(|p99| p99.as_secs_f64()).ok_or(Absent::NotYet)),
        ];
        readings
            .extend(of_tier.map(|(metric, value)| Reading::new(metric, value, at).label("tier", tier.tier)));
    }
    readings
}
