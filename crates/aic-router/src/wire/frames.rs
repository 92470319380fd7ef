//! Bodies cut into messages.

use bytes::BytesMut;
use sseer::parser::{RawEventLineOwned, parse_line_from_buffer};

use super::decoder::malformed;
use super::stray::Stray;
use crate::ProviderError;

/// The longest frame taken from a server.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;

/// How messages are told apart in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// [Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).
    Sse,
    /// One JSON document per line.
    Ndjson,
}

/// Tells messages apart, however a body's bytes are cut into pieces.
pub(crate) struct Frames {
    framing: Framing,
    buffer: BytesMut,
    scanned: usize,
    data: String,
    stray: Stray,
}

impl Frames {
    pub(crate) fn new(framing: Framing) -> Self {
        let (buffer, data, stray) = (BytesMut::new(), String::new(), Stray::default());
        Self { framing, buffer, scanned: 0, data, stray }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Takes the next piece of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the end of the body: a last message without its line break still counts.
    pub(crate) fn end(&mut self) {
        self.push(b"\n\n\n");
    }

    /// The next whole message; `None` if more bytes are needed for one.
    pub(crate) fn next_message(&mut self) -> Result<Option<String>, ProviderError> {
        let message = match self.framing {
            Framing::Sse => self.next_sse(),
            Framing::Ndjson => self.next_line(),
        }?;
        if message.is_none() && self.buffer.len() + self.data.len() > FRAME_BYTES_MAX {
            return Err(malformed(format!("a message is longer than {FRAME_BYTES_MAX} bytes")));
        }
        Ok(message)
    }

    /// The error told outside of all messages, if one was.
    pub(crate) fn stray_fault(&self) -> Result<(), ProviderError> {
        self.stray.fault()
    }

    fn next_sse(&mut self) -> Result<Option<String>, ProviderError> {
        while let Some(line) = parse_line_from_buffer(&mut self.buffer, &mut self.scanned) {
            match line {
                RawEventLineOwned::Empty if !self.data.is_empty() => {
                    return Ok(Some(std::mem::take(&mut self.data)));
                }
                RawEventLineOwned::Field { field_name, field_value: Some(value) } if field_name == "data" => {
                    self.add(utf8(&value)?);
                }
                RawEventLineOwned::Field { field_name, field_value } => {
                    self.stray.add(&field_name, field_value.as_deref());
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn add(&mut self, line: &str) {
        if !self.data.is_empty() {
            self.data.push('\n');
        }
        self.data.push_str(line);
    }

    fn next_line(&mut self) -> Result<Option<String>, ProviderError> {
        while let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + length + 1);
            self.scanned = 0;
            let line = utf8(&line)?.trim();
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
        self.scanned = self.buffer.len();
        Ok(None)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, ProviderError> {
    std::str::from_utf8(bytes).map_err(|error| malformed("a message is not UTF-8").caused_by(error))
}
