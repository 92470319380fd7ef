mod reason;
mod table;

use std::time::Duration;

use serde::Serialize;

pub use self::reason::{Later, Refusal};
use crate::{Constraints, ExpectedLatency, NanoUsd, Priority, Quality, Task};

/// Why a request goes where it goes: every model that was considered, best first.
///
/// Prints as a small table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The task the choice was made for.
    pub task: Task,
    /// Whether the task was guessed rather than given.
    pub task_guessed: bool,
    /// The priority the choice was made by.
    pub priority: Priority,
    /// What the priority comes to among these models. A wish: models that miss it come after.
    pub goal: Constraints,
    /// What the request demands. Models that miss it are refused.
    pub constraints: Constraints,
    /// About how many tokens the conversation has.
    pub input_tokens: u64,
    /// Models in the order they would be tried, then those that may not take the request.
    pub candidates: Vec<Candidate>,
}

impl Explanation {
    /// The model that would be tried first.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.chosen)
    }

    /// Why no model may take the request, in one line.
    ///
    /// Models that were not asked for are told of only where nobody has the one that was.
    pub(crate) fn refusals(&self) -> String {
        let told =
            |other| self.candidates.iter().filter(move |c| other == (c.why_not == Some(Refusal::OtherModel)));
        let name = |c: &Candidate| format!("`{}/{}`", c.provider, c.model);
        let reasons: Vec<String> =
            told(false).filter_map(|c| Some(format!("{} {}", name(c), c.why_not.as_ref()?))).collect();
        let others: Vec<String> = told(true).map(name).collect();
        match (reasons.is_empty(), others.is_empty()) {
            (false, _) => reasons.join(", "),
            (true, false) => format!("nobody has the model asked for; there are {}", others.join(", ")),
            (true, true) => "no provider has a chat model".into(),
        }
    }

    /// Whether some model refuses only for the moment.
    pub(crate) fn may_change(&self) -> bool {
        self.candidates.iter().any(|candidate| {
            matches!(candidate.why_not, Some(Refusal::ShutOff { .. } | Refusal::OverBudget { .. }))
        })
    }
}

/// One model that was considered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its provider.
    pub provider: String,
    /// Its name at that provider.
    pub model: String,
    /// How good its answer is expected to be.
    pub quality: Quality,
    /// How long its answer is expected to take.
    pub latency: ExpectedLatency,
    /// What the request would cost, where the price is known.
    pub estimate: Option<NanoUsd>,
    /// The same with what its failures are expected to cost: the retry at the cheapest of the others. Models
    /// are ordered by this.
    pub expected_cost: Option<NanoUsd>,
    /// The chance that a call fails, 0 to 1.
    pub failing: f64,
    /// About how many of the input tokens it is expected to have in its prompt cache.
    pub cached_tokens: u64,
    /// Whether it would have to be loaded first.
    pub cold: bool,
    /// Whether it would be tried first.
    pub chosen: bool,
    /// How long a pause the provider asked for still lasts; until then it is tried after the others.
    pub resting: Option<Duration>,
    /// Why it is tried after the one that is chosen; `None` for that one, and for those that may not at all.
    pub why_later: Option<Later>,
    /// Why it may not take the request now; `None` where it may.
    pub why_not: Option<Refusal>,
}
