use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A picture or a sound: bytes, or the address of some.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// The thing itself.
    Bytes {
        /// Its kind, as in `image/png` or `audio/wav`.
        mime: String,
        /// Its bytes; in JSON they are Base64.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        data: Bytes,
    },
    /// Where the provider finds it. Ollama, and OpenAI for sounds, take bytes only.
    Url(String),
}

impl Media {
    /// Bytes of the kind `mime`, as in `image/png` or `audio/wav`.
    pub fn bytes(mime: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self::Bytes { mime: mime.into(), data: data.into() }
    }

    /// Something the provider can fetch.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url(url.into())
    }

    /// How many bytes it has, where they are here.
    pub(crate) fn len(&self) -> Option<usize> {
        if let Self::Bytes { data, .. } = self { Some(data.len()) } else { None }
    }
}

/// Shows how much there is, and not what.
impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { mime, data } => write!(f, "Media({mime}, {} bytes)", data.len()),
            Self::Url(url) => f.debug_tuple("Media").field(url).finish(),
        }
    }
}

fn to_base64<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(data))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_a_json_round_trip_as_base64() {
        let media = Media::bytes("image/png", vec![0x89, b'P', b'N', b'G']);

        let json = serde_json::to_string(&media).unwrap();

        assert!(json.contains("iVBORw=="), "{json}");
        assert_eq!(serde_json::from_str::<Media>(&json).unwrap(), media);
        assert_eq!(format!("{media:?}"), "Media(image/png, 4 bytes)");
    }
}
