use std::num::NonZeroU32;

use crate::{Error, Result};

/// How many requests and tokens may be sent in a minute. Unlimited unless stated.
///
/// A whole minute's worth may go at once; after that it comes back evenly. So in any span of time no more
/// goes than the span's share plus one minute's worth.
///
/// ```
/// use aic_router::RateLimit;
///
/// let limit = RateLimit::new().requests_per_minute(500).tokens_per_minute(200_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    requests: Option<u32>,
    tokens: Option<u32>,
}

impl RateLimit {
    /// No limit yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds the requests; at least 1. Unlimited by default.
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Bounds the tokens, read and written, as estimated before the call; at least 1. A request of more
    /// tokens than this is never let through. Unlimited by default.
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// What is bounded, and to how much.
    pub(super) fn bounds(&self) -> Result<Vec<(Unit, NonZeroU32)>> {
        let stated = [(Unit::Requests, self.requests), (Unit::Tokens, self.tokens)];
        let bounds = stated.into_iter().filter_map(|(unit, limit)| Some((unit, limit?)));
        bounds.map(|(unit, limit)| Ok((unit, NonZeroU32::new(limit).ok_or_else(|| zero(unit))?))).collect()
    }
}

fn zero(unit: Unit) -> Error {
    Error::Config(format!(
        "a limit of 0 {unit} per minute lets nothing through; leave the provider out instead"
    ))
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        })
    }
}
