use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::profile::Settings;

/// What a model is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UseCase {
    /// Conversations: somebody waits for each answer.
    #[default]
    Chat,
    /// Many independent requests: only the total time counts.
    Batch,
    /// Vectors for texts.
    Embedding,
}

impl UseCase {
    /// Every use case.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Batch, Self::Embedding];

    /// The name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Batch => "batch",
            Self::Embedding => "embedding",
        }
    }

    /// The settings this use case asks for, on top of the hardware's.
    pub fn settings(self) -> Settings {
        let keep_warm_seconds = match self {
            Self::Chat => 30 * 60,
            Self::Batch => 60,
            Self::Embedding => 5 * 60,
        };
        let context_length = match self {
            Self::Chat => None,
            Self::Batch => NonZeroU32::new(2048),
            Self::Embedding => NonZeroU32::new(512),
        };
        Settings { keep_warm_seconds: Some(keep_warm_seconds), context_length, ..Settings::default() }
    }
}

impl fmt::Display for UseCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
