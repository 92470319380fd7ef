//! The HTTP client: one request out, a stream of events or a document back.

mod body;
mod lines;
mod pump;
mod secrets;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::{Decoder, Framing, fault};
use crate::http::{Host, Http};
use crate::{ApiKey, Error, ErrorKind, EventStream, ProviderError, Result};
use body::Body;
pub(crate) use lines::LineStream;
use lines::Lines;
use pump::Pump;
use secrets::Secrets;

/// The most that is read of an error's body.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// The most that is read of a document.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// A server that speaks HTTP, with what it is told in every request.
#[derive(Clone)]
pub(crate) struct Remote {
    connections: Arc<Host>,
    base: Url,
    headers: HeaderMap,
    secrets: Secrets,
}

impl Remote {
    /// A server at `base`, an absolute `http` or `https` address without a key in it, with connections of its
    /// own.
    pub(crate) fn new(base: &str) -> Result<Self> {
        Self::with(base, &Http::default())
    }

    /// A server at `base`, reached over the connections of `http`.
    pub(crate) fn with(base: &str, http: &Http) -> Result<Self> {
        let base = address(base)?;
        Ok(Self {
            connections: http.host(&base)?,
            base,
            headers: HeaderMap::new(),
            secrets: Secrets::default(),
        })
    }

    /// The same server, reached over the connections of `http`.
    pub(crate) fn over(mut self, http: &Http) -> Result<Self> {
        self.connections = http.host(&self.base)?;
        Ok(self)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Adds a header with the key in it, after `prefix`.
    pub(crate) fn key(mut self, name: &'static str, prefix: &str, key: ApiKey) -> Result<Self> {
        let text = format!("{prefix}{}", key.expose());
        let mut value =
            HeaderValue::from_str(&text).ok().filter(|_| !key.expose().is_empty()).ok_or_else(|| {
                Error::Config("an API key is empty or has a character that no header may have".into())
            })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        self.secrets.add(key);
        Ok(self)
    }

    /// Adds a header of the user's, whose value is kept like a key.
    pub(crate) fn custom_header(mut self, name: &str, value: &ApiKey) -> Result<Self> {
        let wrong = |part| Error::Config(format!("the {part} of header `{name}` has a character it may not"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name"))?;
        let mut secret = HeaderValue::from_str(value.expose()).map_err(|_| wrong("value"))?;
        secret.set_sensitive(true);
        self.headers.insert(header, secret);
        self.secrets.add(value.clone());
        Ok(self)
    }

    /// The server's host name.
    pub(crate) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Posts `body` to `path` below the base, and decodes what comes back.
    pub(crate) async fn events(
        &self,
        path: &str,
        body: &(impl Serialize + Sync + ?Sized),
        decoder: Decoder,
    ) -> Result<EventStream, ProviderError> {
        // A compressed stream may be held back until a block of it is full.
        let request =
            |client: &Client| client.post(self.url(path)).header(ACCEPT_ENCODING, "identity").json(body);
        let body = self.send(request).await?;
        if decoder.framing() == Framing::Sse && body.is_document() {
            return Err(self.unexpected(body).await);
        }
        Ok(Pump::new(body, decoder, self.secrets.clone()).into_stream())
    }

    /// Posts `body` to `path` below the base, and reads the lines that come back, each of them a document.
    /// One that reports an error ends the stream with it. Dropping the stream closes the connection.
    pub(crate) async fn lines(&self, path: &str, body: &Value) -> Result<LineStream, ProviderError> {
        let request =
            |client: &Client| client.post(self.url(path)).header(ACCEPT_ENCODING, "identity").json(body);
        Ok(Lines::new(self.send(request).await?, self.secrets.clone()).into_stream())
    }

    /// Posts `body` to `path` below the base, and reads the document that comes back.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        self.document(|client| client.post(self.url(path)).json(body)).await
    }

    /// Reads the document at `path` below the base.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ProviderError> {
        self.document(|client| client.get(self.url(path))).await
    }

    async fn document(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Value, ProviderError> {
        let bytes = self.send(request).await?.read(DOCUMENT_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ProviderError::new(ErrorKind::Malformed, "the answer is not JSON").caused_by(error)
        })
    }

    /// Sends a request when its turn has come; gives the body of a good answer.
    async fn send(&self, request: impl FnOnce(&Client) -> RequestBuilder) -> Result<Body, ProviderError> {
        let pass = self.connections.pass().await?;
        let sent = request(pass.client()).headers(self.headers.clone()).send().await;
        let response = sent.map_err(|error| self.not_sent(error))?;
        pass.spoke(response.version());
        let status = response.status();
        if status.is_success() {
            return Ok(Body::new(response, pass));
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let wait = fault::retry_after(header, SystemTime::now());
        let text = Body::new(response, pass).read(ERROR_BYTES_MAX).await.unwrap_or_default();
        Err(self.secrets.scrub(fault::from_response(status.as_u16(), wait, &text)))
    }

    /// What a whole document in place of a stream means.
    async fn unexpected(&self, body: Body) -> ProviderError {
        let text = body.read(ERROR_BYTES_MAX).await.unwrap_or_default();
        let document: Value = serde_json::from_slice(&text).unwrap_or_default();
        let error = fault::in_message(&document).err();
        let other = || ProviderError::new(ErrorKind::Malformed, "a document came in place of a stream");
        self.secrets.scrub(error.unwrap_or_else(other))
    }

    fn not_sent(&self, error: reqwest::Error) -> ProviderError {
        let (kind, message) = if error.is_connect() {
            (ErrorKind::Unreachable, format!("no connection to {}", self.base.authority()))
        } else if error.is_timeout() {
            (ErrorKind::Timeout, "the request timed out".into())
        } else if error.is_builder() {
            (ErrorKind::BadRequest, "the request could not be made".into())
        } else {
            (ErrorKind::Transient, "the connection failed".into())
        };
        ProviderError::new(kind, message).caused_by(error.without_url())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url.set_query(query);
        url
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("base", &self.base.as_str()).field("secrets", &self.secrets).finish()
    }
}

fn address(base: &str) -> Result<Url> {
    let url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url =
        url.ok_or_else(|| Error::Config("a server's address must start with http:// or https://".into()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Error::Config(
            "a server's address may hold no password or query; set the key apart".into(),
        ));
    }
    Ok(url)
}
