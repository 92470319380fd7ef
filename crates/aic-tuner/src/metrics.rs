use std::collections::BTreeMap;

/// Observed values by name. A metric that is not known is left out, never zero.
pub type Metrics = BTreeMap<String, f64>;

/// The means of some observations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Means {
    sums: BTreeMap<String, (f64, u32)>,
    observations: usize,
}

impl Means {
    pub(crate) fn observe(&mut self, metrics: &Metrics) {
        self.observations += 1;
        for (name, value) in metrics {
            let (sum, count) = self.sums.entry(name.clone()).or_default();
            *sum += value;
            *count += 1;
        }
    }

    pub(crate) fn observations(&self) -> usize {
        self.observations
    }

    pub(crate) fn mean(&self, name: &str) -> Option<f64> {
        self.sums.get(name).map(|(sum, count)| sum / f64::from(*count))
    }
}
