//! Our own bounds on how much is sent: requests and tokens per minute, by provider and by tenant.
//!
//! Every bucket is a GCRA (generic cell rate algorithm, ATM Forum Traffic Management 4.0, section 4.4.2):
//! one time stamp, no background task. In this process governor keeps them; shared between processes, one Lua
//! script in Redis does the same arithmetic for all buckets of a call at once.

mod local;
mod rate;
#[cfg(feature = "redis")]
mod shared;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use self::local::Local;
pub use self::rate::RateLimit;
use self::rate::Unit;
#[cfg(feature = "redis")]
use self::shared::Shared;
#[cfg(feature = "redis")]
pub use self::shared::SharedLimits;
use crate::scope::{Applicable, Scoped, distinct};
use crate::{Clock, ErrorKind, ProviderError, Result, Scope};

/// All limits of a router.
#[derive(Debug)]
pub(crate) struct Limits {
    buckets: Scoped<Bucket>,
    local: Local,
    #[cfg(feature = "redis")]
    shared: Option<Shared>,
}

impl Limits {
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a scope is stated twice or a limit is 0.
    pub(crate) fn new(limits: &[(Scope, RateLimit)], clock: &Arc<dyn Clock>) -> Result<Self> {
        distinct(limits.iter().map(|(scope, _)| scope), "rate limits")?;
        let mut buckets = Vec::new();
        for (scope, limit) in limits {
            let bounds = limit.bounds()?.into_iter();
            buckets.extend(bounds.map(|(unit, per_minute)| (scope.clone(), Bucket { unit, per_minute })));
        }
        let local = Local::new(buckets.iter().map(|(_, bucket)| bucket.per_minute), clock);
        Ok(Self {
            buckets: Scoped::new(buckets),
            local,
            #[cfg(feature = "redis")]
            shared: None,
        })
    }

    /// Shares the buckets with every process that uses the same Redis server and prefix.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the server's address is none.
    #[cfg(feature = "redis")]
    pub(crate) fn shared(mut self, shared: &SharedLimits, clock: &Arc<dyn Clock>) -> Result<Self> {
        self.shared = Some(Shared::new(shared, clock)?);
        Ok(self)
    }

    /// Counts one request of `tokens` tokens in every bucket it falls into; where one denies it, in none.
    ///
    /// Never waits, except for Redis, and for that no longer than its deadline. Does nothing and costs
    /// nothing where no limit applies.
    ///
    /// # Cancel safety
    /// A future dropped while it waits for Redis may have counted the request there.
    pub(crate) async fn take(&self, provider: &str, tenant: Option<&str>, tokens: u64) -> Result<(), Denied> {
        let draws = self.draws(provider, tenant, tokens)?;
        if draws.is_empty() {
            return Ok(());
        }
        #[cfg(feature = "redis")]
        if let Some(shared) = &self.shared
            && let Some(outcome) = shared.take(&draws).await
        {
            // What goes out is counted here too, so that this process does not begin anew when Redis fails.
            return outcome.inspect(|()| self.local.count(&draws));
        }
        self.local.take(&draws)
    }

    /// What a call takes from which bucket.
    fn draws<'a>(
        &'a self,
        provider: &'a str,
        tenant: Option<&'a str>,
        tokens: u64,
    ) -> Result<Vec<Draw<'a>>, Denied> {
        let mut draws = Vec::new();
        for limit in self.buckets.of(provider, tenant) {
            let amount = match limit.rule.unit {
                Unit::Requests => 1,
                Unit::Tokens => tokens,
            };
            let fits = u32::try_from(amount).ok().filter(|amount| *amount <= limit.rule.per_minute.get());
            let amount = fits.ok_or_else(|| Denied::for_ever(&limit, amount))?;
            draws.extend(NonZeroU32::new(amount).map(|amount| Draw { limit, amount }));
        }
        Ok(draws)
    }
}

/// How much of what may be sent in a minute, a minute's worth at once.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    unit: Unit,
    per_minute: NonZeroU32,
}

/// What one call takes from one bucket.
#[derive(Debug)]
struct Draw<'a> {
    limit: Applicable<'a, Bucket>,
    /// At most what the bucket holds.
    amount: NonZeroU32,
}

/// A limit that a call would have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// How long until the same call would fit if nobody else called; `None` if it never will.
    pub(crate) wait: Option<Duration>,
    /// Which limit, and why.
    pub(crate) what: String,
}

impl Denied {
    fn for_now(limit: &Applicable<'_, Bucket>, wait: Duration) -> Self {
        let what = format!("the limit of {} for {} is used up", limit.rule, limit.whose());
        Self { wait: Some(wait), what }
    }

    fn for_ever(limit: &Applicable<'_, Bucket>, amount: u64) -> Self {
        let Applicable { rule, .. } = limit;
        let what = format!("{amount} {} exceed the limit of {rule} for {}", rule.unit, limit.whose());
        Self { wait: None, what }
    }
}

impl From<Denied> for ProviderError {
    /// A call that fits later is rate limited; one that never will is not supported here.
    fn from(denied: Denied) -> Self {
        let kind = match denied.wait {
            Some(wait) => ErrorKind::RateLimited { retry_after: Some(wait) },
            None => ErrorKind::Unsupported,
        };
        Self::new(kind, denied.what)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} per minute", self.per_minute, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(limits: &[(Scope, RateLimit)]) -> Limits {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Limits::new(limits, &clock).unwrap()
    }

    fn provider(name: &str) -> Scope {
        Scope::Provider(name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_goes_at_once_and_then_evenly() {
        let limits = limits(&[(provider("p"), RateLimit::new().requests_per_minute(2))]);
        limits.take("p", None, 0).await.unwrap();
        limits.take("p", None, 0).await.unwrap();

        let denied = limits.take("p", None, 0).await.unwrap_err();
        tokio::time::advance(denied.wait.unwrap()).await;

        assert_eq!(denied.wait, Some(30 * SECOND));
        assert_eq!(denied.what, "the limit of 2 requests per minute for provider `p` is used up");
        limits.take("p", None, 0).await.unwrap();
        limits.take("other", None, 1 << 40).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn call_denied_by_one_bucket_takes_nothing_from_the_others() {
        let limits = limits(&[
            (Scope::All, RateLimit::new().requests_per_minute(2)),
            (provider("p"), RateLimit::new().tokens_per_minute(100)),
        ]);
        limits.take("p", None, 100).await.unwrap();

        for _ in 0..5 {
            let denied = limits.take("p", None, 50).await.unwrap_err();
            assert_eq!(denied.wait, Some(30 * SECOND));
        }

        limits.take("q", None, 50).await.unwrap();
        limits.take("q", None, 50).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn wait_is_that_of_the_bucket_that_is_full_longest() {
        let limits = limits(&[
            (Scope::All, RateLimit::new().requests_per_minute(60)),
            (provider("p"), RateLimit::new().requests_per_minute(1)),
        ]);
        limits.take("p", None, 0).await.unwrap();
        for _ in 0..59 {
            limits.take("q", None, 0).await.unwrap();
        }

        let denied = limits.take("p", None, 0).await.unwrap_err();

        assert_eq!((denied.wait, denied.what.contains("provider `p`")), (Some(60 * SECOND), true));
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_have_a_bucket_each_and_a_named_one_its_own() {
        let limits = limits(&[
            (Scope::EachTenant, RateLimit::new().requests_per_minute(1)),
            (Scope::Tenant("big".into()), RateLimit::new().requests_per_minute(3)),
        ]);

        for (tenant, allowed) in [("a", 1), ("b", 1), ("big", 3)] {
            for _ in 0..allowed {
                limits.take("p", Some(tenant), 0).await.unwrap();
            }
            let denied = limits.take("p", Some(tenant), 0).await.unwrap_err();
            assert!(denied.what.contains(&format!("tenant `{tenant}`")), "{denied:?}");
        }
        limits.take("p", None, 0).await.unwrap();
    }

    #[tokio::test]
    async fn request_larger_than_a_minutes_worth_is_told_that_it_never_fits() {
        let limits = limits(&[(Scope::All, RateLimit::new().tokens_per_minute(1_000))]);

        for tokens in [1_001, u64::MAX] {
            let denied = limits.take("p", None, tokens).await.unwrap_err();
            assert_eq!(denied.wait, None);
            assert_eq!(
                denied.what,
                format!("{tokens} tokens exceed the limit of 1000 tokens per minute for all calls")
            );
        }

        limits.take("p", None, 1_000).await.unwrap();
    }

    #[test]
    fn limit_of_nothing_and_scope_stated_twice_are_refused() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let one = RateLimit::new().requests_per_minute(1);
        let wrong = [vec![(Scope::All, RateLimit::new().tokens_per_minute(0))], vec![(Scope::All, one); 2]];

        for limits in wrong {
            assert!(matches!(Limits::new(&limits, &clock), Err(crate::Error::Config(_))));
        }
    }
}
