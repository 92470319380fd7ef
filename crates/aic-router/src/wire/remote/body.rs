use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::http::Pass;
use crate::{ErrorKind, ProviderError};

/// How long, and for how many bytes, a body may go on after its answer is whole.
const RUN_OUT_TIME: Duration = Duration::from_secs(1);
const RUN_OUT_BYTES_MAX: usize = 16 << 10;

/// The body of an answer, and the right to have it on a connection.
///
/// Dropping it before its end closes the connection, or resets its HTTP/2 stream.
pub(super) struct Body {
    /// Without the response's head, which would keep the 8 KiB alive into which hyper read it.
    pieces: BoxStream<'static, reqwest::Result<Bytes>>,
    is_document: bool,
    // After the pieces: its place is free once they have let go of the connection.
    _pass: Pass,
}

impl Body {
    pub(super) fn new(response: Response, pass: Pass) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_document = kind.is_some_and(|kind| kind.starts_with("application/json"));
        Self { pieces: response.bytes_stream().boxed(), is_document, _pass: pass }
    }

    /// Whether this is said to be one JSON document.
    pub(super) fn is_document(&self) -> bool {
        self.is_document
    }

    /// The next piece, decompressed, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ProviderError> {
        self.pieces.try_next().await.map_err(broken)
    }

    /// Reads all of it, up to `limit` bytes.
    pub(super) async fn read(mut self, limit: usize) -> Result<Vec<u8>, ProviderError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if bytes.len() + piece.len() > limit {
                return Err(too_long(limit));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Lets a body of which nothing more is needed come to its end, so that its connection can be used again.
    ///
    /// Mostly the end is there already. Where it is not, it is waited for apart, and not for long.
    pub(super) fn run_out(mut self) {
        let mut left = RUN_OUT_BYTES_MAX;
        while let Some(piece) = self.next().now_or_never() {
            if !goes_on(&piece, &mut left) {
                return;
            }
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(timeout(RUN_OUT_TIME, async move { while goes_on(&self.next().await, &mut left) {} }));
    }
}

/// Whether there may be more after `piece`, and more is wanted.
fn goes_on(piece: &Result<Option<Bytes>, ProviderError>, left: &mut usize) -> bool {
    let Ok(Some(piece)) = piece else { return false };
    *left = left.saturating_sub(piece.len());
    *left > 0
}

pub(super) fn too_long(limit: usize) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, format!("the answer is longer than {limit} bytes"))
}

fn broken(error: reqwest::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the connection broke").caused_by(error.without_url())
}
