use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use super::body::{Body, too_long};
use super::secrets::Secrets;
use crate::wire::Decoder;
use crate::{Event, EventStream, ProviderError};

/// The most that is read of one streamed answer, decompressed.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Draws a body through a decoder. Dropping it before the answer is whole drops the body.
pub(super) struct Pump {
    body: Option<Body>,
    left: usize,
    decoder: Decoder,
    ready: VecDeque<Event>,
    /// What ended the body, told behind the events that came before it.
    failed: Option<ProviderError>,
    secrets: Secrets,
}

impl Pump {
    pub(super) fn new(body: Body, decoder: Decoder, secrets: Secrets) -> Self {
        Self {
            body: Some(body),
            left: ANSWER_BYTES_MAX,
            decoder,
            ready: VecDeque::new(),
            failed: None,
            secrets,
        }
    }

    pub(super) fn into_stream(self) -> EventStream {
        stream::unfold(self, |mut pump| async move { pump.next().await.map(|item| (item, pump)) }).boxed()
    }

    async fn next(&mut self) -> Option<Result<Event, ProviderError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            if let Err(error) = self.receive().await? {
                self.body = None;
                self.failed = Some(self.secrets.scrub(error));
            }
        }
    }

    /// Takes the next piece; `None` after the whole answer or an error.
    async fn receive(&mut self) -> Option<Result<(), ProviderError>> {
        let piece = self.body.as_mut()?.next().await;
        let received = piece.and_then(|piece| self.decode(piece.as_deref()));
        if self.decoder.ended() {
            self.body.take().into_iter().for_each(Body::run_out);
        }
        Some(received)
    }

    /// Decodes a piece, or the end.
    fn decode(&mut self, piece: Option<&[u8]>) -> Result<(), ProviderError> {
        let Some(bytes) = piece else { return self.decoder.finish(&mut self.ready) };
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| too_long(ANSWER_BYTES_MAX))?;
        self.decoder.feed(bytes, &mut self.ready)
    }
}
