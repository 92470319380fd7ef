use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::Value;

use super::body::Body;
use super::secrets::Secrets;
use crate::wire::{Frames, Framing, fault, parse};
use crate::{ErrorKind, ProviderError};

/// Documents as they come, one a line.
pub(crate) type LineStream = BoxStream<'static, Result<Value, ProviderError>>;

/// Draws a body through its lines. Dropping it drops the body.
pub(super) struct Lines {
    body: Option<Body>,
    frames: Frames,
    secrets: Secrets,
}

impl Lines {
    pub(super) fn new(body: Body, secrets: Secrets) -> Self {
        Self { body: Some(body), frames: Frames::new(Framing::Ndjson), secrets }
    }

    pub(super) fn into_stream(self) -> LineStream {
        stream::try_unfold(self, |mut lines| async move {
            let line = lines.next().await.map_err(|error| lines.secrets.scrub(error))?;
            Ok(line.map(|line| (line, lines)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Value>, ProviderError> {
        loop {
            if let Some(line) = self.frames.next_message()? {
                let whole = self.body.is_some();
                let line = parse(&line).map_err(|error| if whole { error } else { cut() })?;
                fault::in_message(&line)?;
                return Ok(Some(line));
            }
            let Some(body) = &mut self.body else {
                return Ok(None);
            };
            match body.next().await? {
                Some(bytes) => self.frames.push(&bytes),
                None => {
                    self.body = None;
                    self.frames.end();
                }
            }
        }
    }
}

fn cut() -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the body ended within a line")
}
