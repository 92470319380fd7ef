use std::fmt;

use serde::Serialize;

/// Something `aic` looked for when it started, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked for: `Ollama`, `Redis`, `OpenAI`, `local model`, `GPU`.
    pub subject: String,
    /// Whether it is there and works.
    pub state: FindingState,
    /// A phrase for a person: where it is, or why it is not used and what to do.
    pub note: String,
}

/// What came of looking for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingState {
    /// It is there and is used.
    Used,
    /// Nobody asked for it and it is not there.
    Absent,
    /// It was asked for and does not work; the program goes on without it.
    Broken,
}

impl Finding {
    pub(crate) fn used(subject: impl Into<String>, note: impl Into<String>) -> Self {
        Self { subject: subject.into(), state: FindingState::Used, note: note.into() }
    }

    pub(crate) fn absent(subject: impl Into<String>, note: impl Into<String>) -> Self {
        Self { subject: subject.into(), state: FindingState::Absent, note: note.into() }
    }

    pub(crate) fn broken(subject: impl Into<String>, note: impl Into<String>) -> Self {
        let finding = Self { subject: subject.into(), state: FindingState::Broken, note: note.into() };
        tracing::warn!(subject = finding.subject, note = finding.note, "going on without it");
        finding
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            FindingState::Used => "✔",
            FindingState::Absent => "–",
            FindingState::Broken => "✘",
        };
        write!(f, "{mark} {}: {}", self.subject, self.note)
    }
}
