use std::time::Duration;

use super::ledger::DEFAULT_SHARE;
use crate::{Error, Result};

/// When models give way and when they come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The share of each device's memory that models, their bursts and everybody else may use together, above 0 and at most 1.
    /// Defaults to 0.85.
    pub limit_share: f64,
    /// The share that is added to estimates until a load of the same kind was measured, 0 or more. Defaults to 0.1.
    pub estimate_margin: f64,
    /// How far ahead a model's use counts when it is decided what is unloaded: switches from one model to another, on average.
    /// At least 1. Defaults to 6.
    pub horizon: f64,
    /// How long a model that nobody uses stays. Defaults to 15 minutes; `None` keeps it until its room is needed.
    pub idle: Option<Duration>,
    /// How long there must have been room for a better form before it is taken. Defaults to a minute.
    pub climb_dwell: Duration,
    /// The share of the limit that must stay free beside the better form, from 0 to 1. Defaults to 0.05.
    pub climb_margin: f64,
    /// How likely to be the next a model must be to be loaded ahead of its request, into room that is free. Above 1 it never
    /// is. Defaults to 0.5.
    pub prefetch_chance: f64,
    /// Bursts of so many bytes or more are followed by [`Effect::Trim`](super::Effect::Trim) when their device is at rest
    /// again. Defaults to 64 MiB.
    pub trim_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            limit_share: DEFAULT_SHARE,
            estimate_margin: 0.1,
            horizon: 6.0,
            idle: Some(Duration::from_secs(15 * 60)),
            climb_dwell: Duration::from_secs(60),
            climb_margin: 0.05,
            prefetch_chance: 0.5,
            trim_bytes: 64 << 20,
        }
    }
}

impl Policy {
    pub(super) fn check(&self) -> Result<()> {
        let wrong =
            |option, value: f64, expected| Err(Error::Option { option, value: value.to_string(), expected });
        if !(self.limit_share > 0.0 && self.limit_share <= 1.0) {
            return wrong("limit_share", self.limit_share, "above 0 and at most 1");
        }
        if !(0.0..=10.0).contains(&self.estimate_margin) {
            return wrong("estimate_margin", self.estimate_margin, "from 0 to 10");
        }
        if !(self.horizon >= 1.0 && self.horizon.is_finite()) {
            return wrong("horizon", self.horizon, "1 or more");
        }
        if !(0.0..=1.0).contains(&self.climb_margin) {
            return wrong("climb_margin", self.climb_margin, "from 0 to 1");
        }
        if self.prefetch_chance.is_nan() || self.prefetch_chance <= 0.0 {
            return wrong("prefetch_chance", self.prefetch_chance, "above 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_out_of_range_is_refused() {
        let good = Policy::default();
        assert!(good.check().is_ok());
        for wrong in [
            Policy { limit_share: 0.0, ..good },
            Policy { limit_share: 1.01, ..good },
            Policy { estimate_margin: -0.1, ..good },
            Policy { horizon: 0.5, ..good },
            Policy { horizon: f64::INFINITY, ..good },
            Policy { climb_margin: f64::NAN, ..good },
            Policy { prefetch_chance: 0.0, ..good },
        ] {
            assert!(matches!(wrong.check(), Err(Error::Option { .. })), "{wrong:?}");
        }
    }
}
