use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form an answer must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Any JSON.
    Json,
    /// JSON that keeps to this JSON Schema.
    Schema {
        /// A name for it, of letters, digits, `_` and `-`.
        name: String,
        /// The schema.
        schema: Value,
    },
}

/// How hard a model should think before it answers. Models that cannot be told are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// Not at all, or as little as the model can.
    Off,
    /// A little.
    Low,
    /// Well.
    Medium,
    /// As hard as it can.
    High,
}
