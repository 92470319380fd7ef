//! How a provider is chosen, what it may take, and over which connections.
use std::path::PathBuf;
use std::time::Duration;

use aic_router::{NanoUsd, Priority, RateLimit, Scope, SpendLimit};
use serde::Deserialize;

use super::duration;

/// How a provider is chosen and how long it may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RoutingConfig {
    /// What matters most: `quality`, `speed` or `cost`. Defaults to `cost`: what runs here comes first where it is
    /// good enough.
    pub priority: Priority,
    /// The longest a request may take, retries and fallbacks included. Defaults to 60 s.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// The retries one request has, on top of one attempt at each model. Defaults to 2.
    pub retries: u32,
    /// How long an answer that has begun may stay silent. Defaults to 60 s.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Whether a second model is called beside one that is unusually slow to begin. Defaults to false, as both may be
    /// paid for.
    pub hedge: bool,
    /// A price table (JSON) of one's own, whose prices go before the built-in ones.
    pub prices: Option<PathBuf>,
    /// A file in which costs add up over runs and programs. Without one they are counted from the start of the program.
    pub costs: Option<PathBuf>,
    /// How many requests and tokens may be sent per minute. Shared through Redis where that is configured.
    pub rate_limits: Vec<RateLimitConfig>,
    /// How much money may be spent.
    pub spend_limits: Vec<SpendLimitConfig>,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            priority: Priority::Cost,
            deadline: Duration::from_secs(60),
            retries: 2,
            idle_timeout: Duration::from_secs(60),
            hedge: false,
            prices: None,
            costs: None,
            rate_limits: Vec::new(),
            spend_limits: Vec::new(),
        }
    }
}

/// Requests and tokens per minute, of a provider, of a tenant, of each tenant, or of everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitConfig {
    /// The provider it is for.
    pub provider: Option<String>,
    /// The tenant it is for; `*` for each tenant apart.
    pub tenant: Option<String>,
    /// Requests per minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, read and written.
    pub tokens_per_minute: Option<u32>,
}

impl RateLimitConfig {
    pub(crate) fn limit(&self) -> Result<(Scope, RateLimit), String> {
        let mut limit = RateLimit::new();
        if let Some(requests) = self.requests_per_minute {
            limit = limit.requests_per_minute(requests);
        }
        if let Some(tokens) = self.tokens_per_minute {
            limit = limit.tokens_per_minute(tokens);
        }
        if limit == RateLimit::new() {
            return Err("a rate limit needs `requests_per_minute` or `tokens_per_minute`".to_owned());
        }
        Ok((scope(self.provider.as_deref(), self.tenant.as_deref())?, limit))
    }
}

/// Money per span of time, for a provider, for a tenant, for each tenant, or for everything.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SpendLimitConfig {
    /// The provider it is for.
    #[serde(default)]
    pub provider: Option<String>,
    /// The tenant it is for; `*` for each tenant apart.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The most that may be spent, in US dollars.
    pub dollars: f64,
    /// In how long. Defaults to a day, which begins at midnight UTC.
    #[serde(default = "day", with = "duration")]
    pub per: Duration,
}

fn day() -> Duration {
    Duration::from_secs(24 * 60 * 60)
}

impl SpendLimitConfig {
    pub(crate) fn limit(&self) -> Result<(Scope, SpendLimit), String> {
        let nano = self.dollars * 1e9;
        if !(0.0..=u64::MAX as f64).contains(&nano) {
            return Err(format!("a spend limit of {} dollars is not an amount", self.dollars));
        }
        let limit = SpendLimit::new(NanoUsd(nano.round() as u64)).per(self.per);
        Ok((scope(self.provider.as_deref(), self.tenant.as_deref())?, limit))
    }
}

fn scope(provider: Option<&str>, tenant: Option<&str>) -> Result<Scope, String> {
    match (provider, tenant) {
        (None, None) => Ok(Scope::All),
        (Some(provider), None) => Ok(Scope::Provider(provider.to_owned())),
        (None, Some("*")) => Ok(Scope::EachTenant),
        (None, Some(tenant)) => Ok(Scope::Tenant(tenant.to_owned())),
        (Some(_), Some(_)) => Err("a limit is for a provider or for a tenant, not for both".to_owned()),
    }
}

/// The connections to providers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The most connections to one server. Defaults to 100.
    pub connections_max: usize,
    /// The most of them that are kept open while unused. Defaults to 50.
    pub idle_connections_max: usize,
    /// How long making a connection may take. Defaults to 5 s.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// A proxy for all of them, as in `http://proxy:3128`. Without one, `HTTPS_PROXY` and its kin count.
    pub proxy: Option<String>,
    /// A file of further certificate authorities to trust, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connections_max: 100,
            idle_connections_max: 50,
            connect_timeout: Duration::from_secs(5),
            proxy: None,
            ca_file: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_all_a_provider_a_tenant_or_each_tenant() {
        assert_eq!(scope(None, None), Ok(Scope::All));
        assert_eq!(scope(Some("openai"), None), Ok(Scope::Provider("openai".into())));
        assert_eq!(scope(None, Some("acme")), Ok(Scope::Tenant("acme".into())));
        assert_eq!(scope(None, Some("*")), Ok(Scope::EachTenant));
        assert!(scope(Some("openai"), Some("acme")).is_err());
    }

    #[test]
    fn limits_that_say_nothing_are_refused() {
        assert!(RateLimitConfig::default().limit().is_err());
        for dollars in [-1.0, f64::NAN, f64::INFINITY] {
            let limit = SpendLimitConfig { provider: None, tenant: None, dollars, per: day() };
            assert!(limit.limit().is_err(), "{dollars}");
        }
    }
}
