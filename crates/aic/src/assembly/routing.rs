//! The router's settings and connections, as configured.
use aic_router::{ApiKey, Hedge, Http, Prices, Proxy, RouterBuilder};
use url::Url;

use crate::config::{Config, HttpConfig, RoutingConfig};
use crate::{Error, Result};

/// A router with everything but its providers.
pub(crate) fn router(config: &Config) -> Result<RouterBuilder> {
    let routing = &config.routing;
    let mut router = aic_router::Router::builder()
        .deadline(routing.deadline)
        .retries(routing.retries)
        .idle_timeout(routing.idle_timeout);
    if routing.hedge {
        router = router.hedge(Hedge::new());
    }
    if let Some(path) = &routing.prices {
        router = router.prices(Prices::builtin().clone().overridden_by(Prices::from_file(path)?));
    }
    shared(limited(router, routing)?, config)
}

fn limited(mut router: RouterBuilder, routing: &RoutingConfig) -> Result<RouterBuilder> {
    for limit in &routing.rate_limits {
        let (scope, limit) = limit.limit().map_err(|message| wrong("routing.rate_limits", message))?;
        router = router.rate_limit(scope, limit);
    }
    for limit in &routing.spend_limits {
        let (scope, limit) = limit.limit().map_err(|message| wrong("routing.spend_limits", message))?;
        router = router.spend_limit(scope, limit);
    }
    Ok(router)
}

#[cfg(feature = "redis")]
fn shared(router: RouterBuilder, config: &Config) -> Result<RouterBuilder> {
    let url = config.cache.redis_url.as_ref().filter(|_| !config.routing.rate_limits.is_empty());
    let Some(url) = url else { return Ok(router) };
    if url.contains("+sentinel://") || url.contains("+cluster://") {
        let message = "rate limits are shared through one Redis server, and cache.redis_url names several; \
                       leave the limits out, or name one server";
        return Err(wrong("routing.rate_limits", message.to_owned()));
    }
    Ok(router.shared_limits(aic_router::SharedLimits::new(url)))
}

#[cfg(not(feature = "redis"))]
fn shared(router: RouterBuilder, _: &Config) -> Result<RouterBuilder> {
    Ok(router)
}

/// The connections all providers share.
pub(crate) fn http(config: &HttpConfig) -> Result<Http> {
    let mut http = Http::builder()
        .connections_max(config.connections_max)
        .idle_connections_max(config.idle_connections_max.min(config.connections_max))
        .connect_timeout(config.connect_timeout);
    if let Some(url) = &config.proxy {
        http = http.proxy(proxy(url)?);
    }
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| wrong("http.ca_file", format!("{} cannot be read: {error}", path.display())))?;
        http = http.ca_certificates(pem);
    }
    Ok(http.build()?)
}

/// A password in the address goes where it is shown nowhere.
fn proxy(address: &str) -> Result<Proxy> {
    let mut url = Url::parse(address).map_err(|error| wrong("http.proxy", error.to_string()))?;
    let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
    let cleared = url.set_username("").and(url.set_password(None));
    cleared.map_err(|()| wrong("http.proxy", "it has no host".to_owned()))?;
    let proxy = Proxy::new(url.as_str())?;
    Ok(match password {
        Some(password) => proxy.credentials(user, ApiKey::new(password)),
        None => proxy,
    })
}

fn wrong(place: &str, message: String) -> Error {
    Error::Config { place: place.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_prices_and_hedging_are_taken_over() {
        let config = Config::from_toml(
            "[routing]\nhedge = true\n[[routing.rate_limits]]\nrequests_per_minute = 5\n\
             [[routing.spend_limits]]\ntenant = \"*\"\ndollars = 2.5\nper = \"1h\"",
        );

        assert!(router(&config.unwrap()).unwrap().build().is_ok());
    }

    #[test]
    fn wrong_settings_name_their_place() {
        let both = "[[routing.spend_limits]]\ntenant = \"a\"\nprovider = \"b\"\ndollars = 1.0";
        let error = router(&Config::from_toml(both).unwrap()).unwrap_err().to_string();
        assert!(error.contains("routing.spend_limits"), "{error}");

        let missing = Config::from_toml("[http]\nca_file = \"no/such.pem\"").unwrap();
        assert!(http(&missing.http).unwrap_err().to_string().contains("no/such.pem"));
    }

    #[cfg(feature = "redis")]
    #[test]
    fn limits_over_several_servers_are_refused() {
        let limit = "[[routing.rate_limits]]\nrequests_per_minute = 5\n[cache]\nredis_url = \"redis+cluster://a:1,b:2\"";
        let error = router(&Config::from_toml(limit).unwrap()).unwrap_err().to_string();

        assert!(error.contains("routing.rate_limits") && error.contains("one Redis server"), "{error}");
    }

    #[test]
    fn password_of_a_proxy_is_shown_nowhere() {
        let proxy = proxy("http://user:canary@localhost:3128").unwrap();

        assert!(!format!("{proxy:?}").contains("canary"));
    }
}
