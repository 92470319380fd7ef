//! The HTTP client: one request out, a stream of events or a document back.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use url::Url;

use super::{Decoder, Framing, fault};
use crate::{ApiKey, Error, ErrorKind, Event, EventStream, ProviderError, Result};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read of an error's body.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// The most that is read of a document.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// A server that speaks HTTP, with what it is told in every request.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Client,
    base: Url,
    headers: HeaderMap,
    key: Option<ApiKey>,
}

impl Remote {
    /// A server at `base`, an absolute `http` or `https` address without a key in it.
    pub(crate) fn new(base: &str) -> Result<Self> {
        Ok(Self { client: client()?, base: address(base)?, headers: HeaderMap::new(), key: None })
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
        self.key = Some(key);
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
        body: &Value,
        decoder: Decoder,
    ) -> Result<EventStream, ProviderError> {
        // A compressed stream may be held back until a block of it is full.
        let request = self.client.post(self.url(path)).header(ACCEPT_ENCODING, "identity").json(body);
        let response = self.send(request).await?;
        if decoder.framing() == Framing::Sse && is_document(&response) {
            return Err(self.unexpected(response).await);
        }
        Ok(Pump { response: Some(response), decoder, ready: VecDeque::new(), key: self.key.clone() }
            .into_stream())
    }

    /// Posts `body` to `path` below the base, and reads the document that comes back.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        self.document(self.client.post(self.url(path)).json(body)).await
    }

    /// Reads the document at `path` below the base.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ProviderError> {
        self.document(self.client.get(self.url(path))).await
    }

    async fn document(&self, request: RequestBuilder) -> Result<Value, ProviderError> {
        let response = self.send(request).await?;
        let bytes = read(response, DOCUMENT_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ProviderError::new(ErrorKind::Malformed, "the answer is not JSON").caused_by(error)
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ProviderError> {
        let sent = request.headers(self.headers.clone()).send().await;
        let response = sent.map_err(|error| self.not_sent(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let wait = fault::retry_after(header, SystemTime::now());
        let body = read(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        Err(scrub(self.key.as_ref(), fault::from_response(status, wait, &body)))
    }

    /// What a whole document in place of a stream means.
    async fn unexpected(&self, response: Response) -> ProviderError {
        let body = read(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = fault::in_message(&body).err();
        let other = || ProviderError::new(ErrorKind::Malformed, "a document came in place of a stream");
        scrub(self.key.as_ref(), error.unwrap_or_else(other))
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
        f.debug_struct("Remote").field("base", &self.base.as_str()).field("key", &self.key).finish()
    }
}

/// Redirects are not followed: a key in a header of its own would be carried to the other server.
fn client() -> Result<Client> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("aic-router/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|error| Error::Setup {
        provider: "http".into(),
        source: ProviderError::new(ErrorKind::Unsupported, "the HTTP client did not start").caused_by(error),
    })
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

fn is_document(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ProviderError> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > limit {
            return Err(ProviderError::new(
                ErrorKind::Malformed,
                format!("the answer is longer than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn broken(error: reqwest::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the connection broke").caused_by(error.without_url())
}

fn scrub(key: Option<&ApiKey>, error: ProviderError) -> ProviderError {
    match key {
        Some(key) => error.rephrase(|message| key.scrub(message)),
        None => error,
    }
}

/// Draws a response through a decoder. Dropping it closes the connection, or resets its HTTP/2 stream.
struct Pump {
    response: Option<Response>,
    decoder: Decoder,
    ready: VecDeque<Event>,
    key: Option<ApiKey>,
}

impl Pump {
    fn into_stream(self) -> EventStream {
        stream::unfold(self, |mut pump| async move { pump.next().await.map(|item| (item, pump)) }).boxed()
    }

    async fn next(&mut self) -> Option<Result<Event, ProviderError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.decoder.ended() {
                return None;
            }
            if let Err(error) = self.receive().await? {
                self.response = None;
                return Some(Err(scrub(self.key.as_ref(), error)));
            }
        }
    }

    /// Decodes the next piece, or the end; `None` after an error.
    async fn receive(&mut self) -> Option<Result<(), ProviderError>> {
        let piece = self.response.as_mut()?.chunk().await;
        Some(match piece {
            Ok(Some(bytes)) => self.decoder.feed(&bytes, &mut self.ready),
            Ok(None) => self.decoder.finish(&mut self.ready),
            Err(error) => Err(broken(error)),
        })
    }
}
