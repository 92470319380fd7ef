//! Connections to servers: how many, how long, through which proxy, trusting whom.

mod builder;
mod host;
mod lanes;
mod proxy;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use url::{Origin, Url};

use crate::{Error, Result};
pub use builder::HttpBuilder;
pub(crate) use host::{Host, Pass};
pub use proxy::Proxy;
use settings::Settings;

/// The connections that providers send their requests over. Cheap to clone; clones share everything.
///
/// Providers that are given the same `Http` share connections to the servers they have in common, and its
/// bounds hold for all of them together. A provider that is given none has one of its own, with the defaults.
///
/// A server that speaks HTTP/1.1 gets a connection for each request in flight. One that speaks HTTP/2 gets
/// one connection for each hundred, as servers allow about that many streams on one. Over the bound, requests
/// wait for their turn in the order they came, for as long as their caller does. `TCP_NODELAY` is set,
/// redirects are not followed.
///
/// ```
/// use aic_router::{Http, OpenAi};
///
/// let http = Http::builder().connections_max(20).build()?;
/// let fast = OpenAi::builder("http://gpu-box:8000/v1").name("fast").model("qwen3:4b").http(&http).build()?;
/// let good = OpenAi::builder("http://gpu-box:8001/v1").name("good").model("qwen3:32b").http(&http).build()?;
/// # Ok::<_, aic_router::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Http {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    settings: Settings,
    hosts: Mutex<HashMap<Origin, Arc<Host>>>,
}

impl Http {
    /// Starts from the defaults.
    pub fn builder() -> HttpBuilder {
        HttpBuilder::default()
    }

    fn new(settings: Settings) -> Self {
        Self { shared: Arc::new(Shared { settings, hosts: Mutex::default() }) }
    }

    /// The connections to the server of `url`.
    pub(crate) fn host(&self, url: &Url) -> Result<Arc<Host>> {
        let mut hosts = self.shared.hosts.lock();
        if let Some(host) = hosts.get(&url.origin()) {
            return Ok(host.clone());
        }
        let host = Host::new(self.shared.settings.clone(), url);
        let host = Arc::new(host.map_err(|source| Error::Setup { provider: "http".into(), source })?);
        hosts.insert(url.origin(), host.clone());
        Ok(host)
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_common_share_their_connections() {
        let http = Http::default();
        let host = |url: &str| http.clone().host(&Url::parse(url).unwrap()).unwrap();

        assert!(Arc::ptr_eq(&host("http://a:80/v1"), &host("http://a/v2")));
        assert!(!Arc::ptr_eq(&host("http://a:80/"), &host("http://a:81/")));
        assert!(!Arc::ptr_eq(&host("http://a/"), &host("https://a/")));
    }
}
