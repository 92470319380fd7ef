use serde_json::Value;

use super::fault;
use crate::ProviderError;

/// The most that is kept.
const STRAY_BYTES_MAX: usize = 64 << 10;

/// What a server of events says outside of them: Gemini breaks into its stream with an error as plain JSON
/// over many lines, which for a reader of events are fields without a meaning.
#[derive(Debug, Default)]
pub(crate) struct Stray {
    text: String,
}

impl Stray {
    /// Takes a line that is no event's, in the two pieces it is cut into at its first colon.
    pub(crate) fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let line = String::from_utf8_lossy(name);
        let opens = line.trim_start().starts_with(['{', '[']);
        let length = line.len() + value.map_or(0, <[u8]>::len);
        if (self.text.is_empty() && !opens) || self.text.len() + length > STRAY_BYTES_MAX {
            return;
        }
        self.text.push_str(&line);
        if let Some(value) = value {
            self.text.push(':');
            self.text.push_str(&String::from_utf8_lossy(value));
        }
        self.text.push('\n');
    }

    /// The error that was told, if one was.
    pub(crate) fn fault(&self) -> Result<(), ProviderError> {
        let document: Value = serde_json::from_str(&self.text).unwrap_or_default();
        fault::in_message(&document)
    }
}
