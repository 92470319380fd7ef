//! What the cache says.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::LeadGuard;
use crate::{Refusal, Tee};

/// An answer from the cache.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit<V> {
    /// The answer.
    pub value: V,
    /// How long ago it was stored, as in HTTP's `Age`.
    pub age: Duration,
    /// Where it was found, as in `"memory"` or `"redis"`; `"coalesced"` if another caller just computed it.
    pub tier: &'static str,
    /// Whether it is past its time to live and given all the same.
    pub stale: bool,
    /// How near the question it answers is to the one asked, by their vectors' cosine; `None` if they are the same.
    pub similarity: Option<f32>,
}

/// The result of a look into the cache.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<V> {
    /// There is a fresh answer.
    Hit(Hit<V>),
    /// It is known that there will be none.
    Refused(Hit<Refusal>),
    /// There is none.
    Miss(MissReason),
}

/// Why there is no answer in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissReason {
    /// The store has none.
    Absent,
    /// There is one, but older than its time to live or the caller's limit.
    Expired,
    /// There is one, but one of its tags has been cleared.
    Cleared,
    /// There is one, but its bytes are not what was written, or not of this type.
    Damaged,
    /// The caller wanted none: [`CacheControl::no_cache`](crate::CacheControl::no_cache).
    Bypassed,
    /// The store could not tell.
    Unavailable,
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MissReason::Absent => "absent",
            MissReason::Expired => "expired",
            MissReason::Cleared => "cleared",
            MissReason::Damaged => "damaged",
            MissReason::Bypassed => "bypassed",
            MissReason::Unavailable => "store unavailable",
        })
    }
}

/// The result of [`Cache::begin`](super::Cache::begin).
#[derive(Debug)]
pub enum Begin<V, P = ()> {
    /// There is an answer.
    Hit(Hit<V>),
    /// It is known that there will be none.
    Refused(Hit<Refusal>),
    /// Another caller is computing the answer: its pieces, from the first on.
    Follow(Tee<P>),
    /// There is an answer past its time to live, or one to a similar question that is to be checked. It may be given
    /// now, and it is this caller's part to compute it anew, best after giving it. Other callers are given it without
    /// that part meanwhile.
    Renew(Hit<V>, LeadGuard<V, P>),
    /// There is none, and it is this caller's part to compute it.
    Lead(LeadGuard<V, P>),
}

/// What a computation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed<V> {
    /// A complete answer, to be stored and shared.
    Store(V),
    /// An answer for this caller alone: cut short, refused, or random on purpose.
    Discard(V),
}

/// An answer and how it was come by.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<V> {
    /// From the cache.
    Hit(Hit<V>),
    /// Computed by this call.
    Computed(V),
}

impl<V> Answer<V> {
    /// The answer itself.
    pub fn into_value(self) -> V {
        match self {
            Answer::Hit(hit) => hit.value,
            Answer::Computed(value) => value,
        }
    }

    /// Whether it came from the cache.
    pub fn is_hit(&self) -> bool {
        matches!(self, Answer::Hit(_))
    }
}
