//! What the cache would say, and why.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Cache, CacheControl, MissReason,
    look::{Known, Miss},
};
use crate::{Fingerprint, stats::duration};

/// What the cache would say to a call now, from [`Cache::explain`]. Prints as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Explanation {
    /// It would give the answer.
    Hit {
        /// Where it is.
        tier: &'static str,
        /// How long ago it was stored.
        age: Duration,
    },
    /// It would say that the request is refused.
    Refused {
        /// Where that is known.
        tier: &'static str,
        /// How long ago it was.
        age: Duration,
    },
    /// There is an answer past its time to live.
    Stale {
        /// Where it is.
        tier: &'static str,
        /// How long ago its time was over.
        past: Duration,
        /// Whether it would be given at once, while one caller computes it anew.
        while_revalidate: bool,
        /// Whether it would be given if computing it anew failed.
        if_error: bool,
    },
    /// It would let the caller compute.
    Miss(MissReason),
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { tier, age } => write!(f, "hit: in {tier}, stored {} ago", duration(*age)),
            Self::Refused { tier, age } => {
                write!(f, "refused: it was for what it asks {} ago, as {tier} knows", duration(*age))
            }
            Self::Stale { tier, past, while_revalidate, if_error } => {
                let use_ = match (while_revalidate, if_error) {
                    (true, _) => "given while it is computed anew",
                    (false, true) => "given if computing it anew fails",
                    (false, false) => "too old to be given",
                };
                write!(f, "stale: in {tier}, {} past its time to live, {use_}", duration(*past))
            }
            Self::Miss(reason) => write!(f, "miss: {}", why(*reason)),
        }
    }
}

fn why(reason: MissReason) -> &'static str {
    match reason {
        MissReason::Absent => "no answer to this request is stored",
        MissReason::Expired => "the stored answer is older than this call allows",
        MissReason::Cleared => "the stored answer was cleared by one of its tags",
        MissReason::Damaged => "what is stored is no answer of this kind, or damaged",
        MissReason::Bypassed => "the call wants a new answer",
        MissReason::Unavailable => "the store could not tell",
    }
}

impl<V, P> Cache<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Says what a look for `key` would come to, without counting it or computing anything. Answers to similar
    /// questions are left out.
    ///
    /// Why a request is not the same as an earlier one is told by [`Outline`](crate::Outline).
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn explain(&self, key: &Fingerprint, control: &CacheControl) -> Explanation {
        match self.look(key, control).await.0 {
            Ok(Known::Answer(hit)) => Explanation::Hit { tier: hit.tier, age: hit.age },
            Ok(Known::Refusal(hit)) => Explanation::Refused { tier: hit.tier, age: hit.age },
            Err(Miss { past: Some((hit, past)), .. }) => Explanation::Stale {
                tier: hit.tier,
                past,
                while_revalidate: past < self.inner.settings.stale_while_revalidate,
                if_error: past < self.inner.settings.stale_if_error,
            },
            Err(Miss { reason, past: None }) => Explanation::Miss(reason),
        }
    }
}
