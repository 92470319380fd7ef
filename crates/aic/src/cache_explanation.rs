use std::fmt;

use aic_cache::{Closest, Difference, Explanation, Fingerprint};
use aic_router::ChatRequest;
use serde::Serialize;

/// What the cache would do with a question, from [`Aic::explain_cache`](crate::Aic::explain_cache). Prints as a few
/// lines.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheExplanation {
    /// The key its answer is kept under; `None` if it is not kept.
    pub key: Option<Fingerprint>,
    /// What a look would come to; `None` if there is none.
    pub found: Option<Explanation>,
    /// Why its answer is not kept; `None` if it is.
    pub not_kept: Option<&'static str>,
    /// In what it differs from the nearest question whose answer was kept lately; `None` if there is none like it.
    pub differences: Option<Vec<Difference>>,
}

impl CacheExplanation {
    pub(crate) fn of(key: Fingerprint, found: Explanation, closest: Option<Closest>) -> Self {
        let differences = closest.map(|closest| closest.differences);
        Self { key: Some(key), found: Some(found), not_kept: None, differences }
    }

    pub(crate) fn not_cached(request: &ChatRequest, is_on: bool) -> Self {
        let not_kept = match (is_on, request.temperature) {
            (false, _) => "the cache is turned off",
            (true, Some(temperature)) if temperature > 0.0 => {
                "its temperature is above 0, so it wants another answer each time (cache.sampled)"
            }
            (true, _) => "a picture or sound lies at an address, where it may change",
        };
        Self { key: None, found: None, not_kept: Some(not_kept), differences: None }
    }
}

impl fmt::Display for CacheExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = self.not_kept {
            write!(f, "not kept: {reason}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "{found}")?;
        }
        match (&self.found, self.differences.as_deref()) {
            (Some(Explanation::Miss(_)), Some([])) => {
                write!(f, "\nthe very same was asked, and its answer is gone")
            }
            (Some(Explanation::Miss(_)), Some(differences)) => {
                let paths: Vec<_> = differences.iter().map(ToString::to_string).collect();
                write!(f, "\nthe nearest question that was asked differs in {}", paths.join(", "))
            }
            _ => Ok(()),
        }
    }
}
