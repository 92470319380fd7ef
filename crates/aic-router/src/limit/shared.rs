//! Buckets in Redis, for all processes that use it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::{AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, Script, ScriptInvocation};
use secrecy::{ExposeSecret, SecretString};
use tracing::{info, warn};

use super::rate::Unit;
use super::{Denied, Draw};
use crate::breaker::{BreakerConfig, Verdict};
use crate::gate::Gate;
use crate::{Clock, Error, Result, Scope};

/// What a bucket needs to be full again.
const MINUTE: Duration = Duration::from_secs(60);

/// How long Redis is left alone after three failures in a row, and between two attempts after that.
const PAUSE: Duration = Duration::from_secs(1);

const CONNECTIONS: usize = 8;

/// Where processes share their rate limits: a Redis server.
///
/// All processes with the same server, prefix and limits draw from the same buckets. A call's buckets are
/// counted in one script, by the server's clock. Where Redis does not answer within the deadline, this
/// process's own buckets decide, with one warning in the log, and Redis is asked again within a second: n
/// processes without Redis may send n times the limit, and none of them is held up.
///
/// Prints without its URL, which may hold a password. TLS, Sentinel and Cluster connections are not supported
/// yet; the keys have one hash tag, so that they would lie on one node of a Cluster.
///
/// ```
/// use std::time::Duration;
///
/// let shared = aic_router::SharedLimits::new("redis://:secret@limits.internal:6379")
///     .prefix("shop:limits")
///     .deadline(Duration::from_millis(10));
/// assert!(!format!("{shared:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct SharedLimits {
    url: SecretString,
    prefix: String,
    deadline: Duration,
}

impl SharedLimits {
    /// The server at `redis://[user:password@]host[:port][/db]`, or a Unix socket as `unix:///path`.
    pub fn new(url: impl Into<String>) -> Self {
        let url = SecretString::from(url.into());
        Self { url, prefix: "aic:limit".to_owned(), deadline: Duration::from_millis(20) }
    }

    /// What every key in Redis begins with, in braces. Defaults to `aic:limit`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long Redis may take to answer, connecting included, before this process decides alone. Defaults to
    /// 20 ms.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn pool(&self) -> Result<Pool> {
        let info = self.url.expose_secret().into_connection_info().map_err(unusable)?;
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline));
        let manager = Manager::new_with_config(quick(info), limits).map_err(unusable)?;
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
        pool.build().map_err(unusable)
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimits")
            .field("url", &"***")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// Small commands must not wait for more to send: Nagle's algorithm is on by default.
fn quick(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.tcp_settings().clone().set_nodelay(true);
    info.set_tcp_settings(settings)
}

/// Says what is wrong with the address without repeating it: it may hold a password.
fn unusable(_: impl StdError) -> Error {
    let message = "the URL of the shared limits is not understood, or asks for something this build lacks; \
                   write redis://[user:password@]host[:port][/db]";
    Error::Config(message.to_owned())
}

pub(super) struct Shared {
    pool: Pool,
    script: Script,
    prefix: String,
    deadline: Duration,
    gate: Gate,
    /// Whether this process decides alone at the moment, and has said so.
    alone: AtomicBool,
}

impl Shared {
    pub(super) fn new(settings: &SharedLimits, clock: &Arc<dyn Clock>) -> Result<Self> {
        let breaker =
            BreakerConfig { threshold: 3, cooldown: PAUSE, cooldown_max: PAUSE, ..BreakerConfig::default() };
        Ok(Self {
            pool: settings.pool()?,
            script: Script::new(include_str!("gcra.lua")),
            prefix: settings.prefix.clone(),
            deadline: settings.deadline,
            gate: Gate::new(breaker, clock.clone()),
            alone: AtomicBool::new(false),
        })
    }

    /// Takes all draws or none; `None` where Redis cannot say in time.
    pub(super) async fn take(&self, draws: &[Draw<'_>]) -> Option<Result<(), Denied>> {
        let permit = self.gate.pass().ok()?;
        let answer = tokio::time::timeout(self.deadline, self.ask(draws)).await;
        let answer = answer.unwrap_or_else(|_| Err(Unavailable::Late(self.deadline)));
        match answer {
            Ok(outcome) => {
                permit.record(Verdict::Well, None);
                self.together();
                Some(outcome)
            }
            Err(error) => {
                permit.record(Verdict::Failed, None);
                self.go_alone(&error);
                None
            }
        }
    }

    async fn ask(&self, draws: &[Draw<'_>]) -> Result<Result<(), Denied>, Unavailable> {
        let mut connection = self.pool.get().await.map_err(|error| Unavailable::Pool(error.into()))?;
        let answer: (usize, u64) = self.invocation(draws).invoke_async(&mut connection).await?;
        match answer {
            (0, _) => Ok(Ok(())),
            (number, wait_us) => {
                let draw = draws.get(number - 1).ok_or(Unavailable::Foreign)?;
                Ok(Err(Denied::for_now(&draw.limit, Duration::from_micros(wait_us))))
            }
        }
    }

    fn invocation(&self, draws: &[Draw<'_>]) -> ScriptInvocation<'_> {
        let mut invocation = self.script.prepare_invoke();
        invocation.arg(MINUTE.as_micros() as u64);
        for draw in draws {
            invocation.key(self.key(draw)).arg(cost_us(draw));
        }
        invocation
    }

    /// The name of a draw's bucket. What a caller may choose comes last, so no name can be taken for another.
    fn key(&self, draw: &Draw<'_>) -> String {
        let unit = match draw.limit.rule.unit {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
        };
        let whose = match draw.limit.scope {
            Scope::All => "all".to_owned(),
            Scope::Provider(name) => format!("provider:{name}"),
            Scope::Tenant(name) => format!("tenant:{name}"),
            Scope::EachTenant => format!("tenant:{}", draw.limit.account),
        };
        format!("{{{}}}:{unit}:{whose}", self.prefix)
    }

    fn go_alone(&self, error: &Unavailable) {
        if !self.alone.swap(true, Ordering::Relaxed) {
            let error = error as &dyn StdError;
            warn!(error, "the shared rate limits are out of reach; this process keeps its own");
        }
    }

    fn together(&self) {
        if self.alone.swap(false, Ordering::Relaxed) {
            info!("the shared rate limits are back");
        }
    }
}

/// How much longer the bucket needs to be full, rounded up: never more than the limit goes out.
fn cost_us(draw: &Draw<'_>) -> u64 {
    let minute = MINUTE.as_micros() as u64;
    (u64::from(draw.amount.get()) * minute).div_ceil(u64::from(draw.limit.rule.per_minute.get()))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why Redis did not say.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("no connection")]
    Pool(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the server refused the script")]
    Script(#[from] redis::RedisError),
    #[error("the server's answer is not the script's")]
    Foreign,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::Bucket;
    use super::*;
    use crate::SystemClock;
    use crate::scope::Applicable;

    fn shared(url: &str) -> Result<Shared> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Shared::new(&SharedLimits::new(url), &clock)
    }

    fn bucket(unit: Unit, per_minute: u32) -> Bucket {
        Bucket { unit, per_minute: NonZeroU32::new(per_minute).unwrap() }
    }

    #[test]
    fn url_is_neither_printed_nor_repeated_in_errors() {
        for url in ["hunter2", "http://me:hunter2@host", "redis://me:hunter2@host:notaport"] {
            let error = shared(url).unwrap_err();
            assert!(!format!("{error} {error:?} {:?}", SharedLimits::new(url)).contains("hunter2"));
        }
        let good = shared("redis://me:hunter2@127.0.0.1:1").unwrap();
        assert!(!format!("{good:?}").contains("hunter2"));
    }

    #[test]
    fn keys_share_a_hash_tag_and_cannot_be_mistaken() {
        let (shared, bucket) = (shared("redis://127.0.0.1:1").unwrap(), bucket(Unit::Requests, 1));
        let key = |scope: &Scope, account| {
            let amount = NonZeroU32::MIN;
            shared.key(&Draw { limit: Applicable { index: 0, scope, rule: &bucket, account }, amount })
        };

        let keys = [
            key(&Scope::All, ""),
            key(&Scope::Provider("a}b".into()), ""),
            key(&Scope::EachTenant, "provider:a"),
        ];

        let expected = ["all", "provider:a}b", "tenant:provider:a"];
        assert_eq!(keys, expected.map(|whose| format!("{{aic:limit}}:requests:{whose}")));
    }

    #[test]
    fn costs_are_rounded_so_that_never_too_much_goes_out() {
        let cost = |per_minute, amount| {
            let (scope, bucket) = (&Scope::All, &bucket(Unit::Tokens, per_minute));
            let amount = NonZeroU32::new(amount).unwrap();
            cost_us(&Draw { limit: Applicable { index: 0, scope, rule: bucket, account: "" }, amount })
        };

        assert_eq!([cost(60, 1), cost(7, 1), cost(150_000_000, 1)], [1_000_000, 8_571_429, 1]);
        assert_eq!([cost(7, 7), cost(u32::MAX, u32::MAX)], [60_000_000; 2]);
    }
}
