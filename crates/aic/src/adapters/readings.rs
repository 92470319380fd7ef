//! Statistics of router and cache behind the monitor's door.
use aic_monitor::{Absent, Moment, Probe, Reading};
use aic_router::{ModelStats, Router};

use crate::keeping::Answers;

/// What router and cache have done, as readings named `router_…` and `answer_cache_…`.
#[derive(Debug)]
pub(crate) struct Readings {
    router: Router,
    cache: Option<Answers>,
}

impl Readings {
    pub(crate) fn new(router: Router, cache: Option<Answers>) -> Self {
        Self { router, cache }
    }
}

impl Probe for Readings {
    fn name(&self) -> &str {
        "aic"
    }

    fn read(&mut self, at: Moment) -> aic_monitor::Result<Vec<Reading>> {
        let models = self.router.stats().models;
        let routed = models.iter().flat_map(|model| of_model(model, at));
        Ok(routed.chain(self.cache.iter().flat_map(|cache| of_cache(cache, at))).collect())
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

fn of_cache(cache: &Answers, at: Moment) -> [Reading; 3] {
    let stats = cache.stats();
    [
        Reading::new("answer_cache_hits_total", Ok(stats.reused() as f64), at),
        Reading::new("answer_cache_stores_total", Ok(stats.stores as f64), at),
        Reading::new("answer_cache_hit_ratio", stats.hit_ratio().ok_or(Absent::NotYet), at),
    ]
}
