use std::time::Duration;

#[cfg(feature = "semantic")]
use crate::Fingerprint;
use crate::Tag;

/// What one call asks of the cache, in the words of HTTP's `Cache-Control` (RFC 9111, section 5.2.1).
///
/// The default uses what is there and stores what is computed.
///
/// ```
/// # use std::time::Duration;
/// # use aic_cache::{CacheControl, Tag};
/// let refresh = CacheControl::new().no_cache();
/// let recent = CacheControl::new().max_age(Duration::from_secs(60));
/// let about = CacheControl::new().tag(Tag::new("document", "handbook.pdf"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheControl {
    /// Use no answer from the cache; the computed one is stored. A refresh.
    pub no_cache: bool,
    /// Do not store the answer. One that is there may be used.
    pub no_store: bool,
    /// Use no answer older than this, nor one past its time to live.
    pub max_age: Option<Duration>,
    /// How long the stored answer lives, in place of the cache's own time to live.
    pub ttl: Option<Duration>,
    /// Tags of the stored answer, beside those the cache itself gives it.
    pub tags: Vec<Tag>,
    /// The question for which the answer to a similar one will do.
    #[cfg(feature = "semantic")]
    pub like: Option<Like>,
}

/// A question as it is compared with others.
#[cfg(feature = "semantic")]
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Like {
    /// The fingerprint of all that similar questions must agree in.
    pub scope: Fingerprint,
    /// What is asked.
    pub text: String,
}

/// Prints no question.
#[cfg(feature = "semantic")]
impl std::fmt::Debug for Like {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Like").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl CacheControl {
    /// Uses what is there and stores what is computed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses no answer from the cache; the computed one is stored.
    pub fn no_cache(self) -> Self {
        Self { no_cache: true, ..self }
    }

    /// Does not store the answer.
    pub fn no_store(self) -> Self {
        Self { no_store: true, ..self }
    }

    /// Uses no answer older than `age`, nor one past its time to live.
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    /// Lets the stored answer live for `ttl`, in place of the cache's own time to live.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// Gives the stored answer `tag`, to be cleared with all others that have it.
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// Takes the answer to a similar question, too, if the cache has a
    /// [similarity tier](crate::CacheBuilder::similarity): `text` is what is asked, `scope` the fingerprint of the
    /// request without it, in which similar questions must agree.
    #[cfg(feature = "semantic")]
    pub fn like(self, scope: Fingerprint, text: impl Into<String>) -> Self {
        Self { like: Some(Like { scope, text: text.into() }), ..self }
    }
}
