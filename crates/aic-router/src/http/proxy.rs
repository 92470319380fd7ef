use std::fmt;

use url::Url;

use crate::{ApiKey, Error, Result};

/// A proxy that requests go through: `https` ones in a tunnel (`CONNECT`), `http` ones forwarded.
///
/// ```
/// use aic_router::{ApiKey, Http, Proxy};
///
/// let proxy = Proxy::new("http://proxy.example:3128")?
///     .credentials("me", ApiKey::new("secret"))
///     .except("localhost, .example, 10.0.0.0/8");
/// let http = Http::builder().proxy(proxy).build()?;
/// # Ok::<_, aic_router::Error>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    url: Url,
    credentials: Option<(String, ApiKey)>,
    except: String,
}

impl Proxy {
    /// The proxy at `url`, an absolute `http` or `https` address without a password in it.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is no such address.
    pub fn new(url: &str) -> Result<Self> {
        let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = parsed
            .filter(Url::has_host)
            .ok_or_else(|| Error::Config("a proxy's address must start with http:// or https://".into()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Config(
                "a proxy's address may hold no password; set it with `credentials`".into(),
            ));
        }
        Ok(Self { url, credentials: None, except: String::new() })
    }

    /// Who asks, for `Proxy-Authorization: Basic`. Nobody by default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<ApiKey>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// The servers that are reached directly, separated by commas: names, which count for all below them,
    /// addresses, and networks like `10.0.0.0/8`. None by default.
    pub fn except(mut self, servers: impl Into<String>) -> Self {
        self.except = servers.into();
        self
    }

    pub(super) fn to_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        let mut proxy = reqwest::Proxy::all(self.url.as_str())?;
        if let Some((user, password)) = &self.credentials {
            proxy = proxy.basic_auth(user, password.expose());
        }
        Ok(proxy.no_proxy(reqwest::NoProxy::from_string(&self.except)))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Proxy");
        debug.field("url", &self.url.as_str()).field("credentials", &self.credentials);
        debug.field("except", &self.except).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_neither_taken_in_addresses_nor_shown() {
        for wrong in ["proxy:3128", "socks5://proxy", "http://me:canary@proxy", "http://"] {
            let error = Proxy::new(wrong).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let proxy = Proxy::new("http://proxy:3128").unwrap().credentials("me", "canary");

        assert!(!format!("{proxy:?}").contains("canary"));
        assert!(proxy.to_reqwest().is_ok());
    }
}
