use std::time::Duration;

use super::settings::{Route, Settings};
use super::{Http, Proxy};
use crate::{Error, Result};

/// Collects the settings of an [`Http`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct HttpBuilder {
    settings: Settings,
    #[cfg(feature = "rustls")]
    roots_pem: Vec<Vec<u8>>,
}

impl HttpBuilder {
    /// The most connections to one server. Requests over the bound wait.
    ///
    /// Defaults to 100; at least 1. Over HTTP/2 each carries
    /// [`streams_per_connection_max`](Self::streams_per_connection_max) requests.
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.settings.connections_max = connections;
        self
    }

    /// The most connections to one server that are kept open without a request. Defaults to 50; with 0, every
    /// request makes its own, over HTTP/2 too.
    pub fn idle_connections_max(mut self, connections: usize) -> Self {
        self.settings.idle_connections_max = connections;
        self
    }

    /// How long a connection is kept open without a request. Defaults to 90 s.
    pub fn idle_connection_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_connection_timeout = timeout;
        self
    }

    /// The most requests in flight on one HTTP/2 connection, before another is made. Defaults to 100, what most
    /// servers allow; at least 1.
    pub fn streams_per_connection_max(mut self, streams: usize) -> Self {
        self.settings.streams_per_connection_max = streams;
        self
    }

    /// How long a connection may take to be made, name look-up and TLS included. Defaults to 5 s; more than 0.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sends every request through `proxy`.
    ///
    /// By default requests go as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in the environment say,
    /// but to this machine (`localhost`, `127.0.0.0/8`, `::1`) always directly.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.settings.route = Route::Through(proxy);
        self
    }

    /// Sends every request directly, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.settings.route = Route::Direct;
        self
    }

    /// Trusts the certificate authorities in `pem`, one or more `CERTIFICATE` blocks, beside those the system
    /// trusts. May be called again for more.
    #[cfg(feature = "rustls")]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }

    /// Speaks HTTP/2 from the first byte, to servers that speak it without TLS (h2c). Off by default: HTTP/2 is
    /// used where a server offers it during the TLS handshake, HTTP/1.1 elsewhere.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.settings.http2_prior_knowledge = true;
        self
    }

    /// Builds it; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Config`] if a bound or the connect timeout is 0, or a certificate cannot be read.
    pub fn build(self) -> Result<Http> {
        let settings = self.trusting()?;
        let zero = [
            ("connections_max", settings.connections_max == 0),
            ("streams_per_connection_max", settings.streams_per_connection_max == 0),
            ("connect_timeout", settings.connect_timeout.is_zero()),
        ];
        match zero.iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(Error::Config(format!("`{name}` is 0; nothing could be sent"))),
            None => Ok(Http::new(settings)),
        }
    }

    #[cfg(feature = "rustls")]
    fn trusting(mut self) -> Result<Settings> {
        for pem in &self.roots_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|roots| !roots.is_empty());
            let roots = roots.ok_or_else(|| {
                Error::Config("the CA certificates are not PEM with at least one CERTIFICATE block".into())
            })?;
            self.settings.roots.extend(roots);
        }
        Ok(self.settings)
    }

    #[cfg(not(feature = "rustls"))]
    fn trusting(self) -> Result<Settings> {
        Ok(self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: HttpBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn settings_that_let_nothing_through_are_refused_by_name() {
        assert!(refusal(Http::builder().connections_max(0)).contains("`connections_max`"));
        assert!(
            refusal(Http::builder().streams_per_connection_max(0)).contains("`streams_per_connection_max`")
        );
        assert!(refusal(Http::builder().connect_timeout(Duration::ZERO)).contains("`connect_timeout`"));
        assert!(Http::builder().idle_connections_max(0).build().is_ok());
    }

    #[cfg(feature = "rustls")]
    #[test]
    fn certificates_that_are_none_are_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        for pem in ["", "no certificate", broken] {
            assert!(refusal(Http::builder().ca_certificates(pem)).contains("CERTIFICATE"), "{pem}");
        }
    }
}
