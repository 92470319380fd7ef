use std::fmt;

use serde::{Deserialize, Serialize};

/// Something not every model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ability {
    /// It sees pictures.
    Images,
    /// It hears sounds.
    Audio,
    /// It calls tools.
    Tools,
    /// It keeps to JSON, or to a schema.
    Structured,
    /// It can be told how hard to think.
    Reasoning,
    /// It takes a temperature and the other sampling options. They are not sent to a model that does not.
    Sampling,
    /// It goes on from the beginning of an answer that stands last in the conversation.
    Prefill,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Tools => "tools",
            Self::Structured => "structured output",
            Self::Reasoning => "reasoning",
            Self::Sampling => "sampling options",
            Self::Prefill => "prefill",
        })
    }
}
