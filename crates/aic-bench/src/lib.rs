//! Honest load: closed and open loops against any target, with percentiles.
