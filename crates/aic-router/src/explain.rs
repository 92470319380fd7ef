use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::{NanoUsd, Priority, Task};

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
        self.candidates.iter().any(|candidate| matches!(candidate.why_not, Some(Refusal::ShutOff { .. })))
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
    /// How well it fits, 0 to 1: the parts, weighted by the priority.
    pub score: f64,
    /// What the score is made of.
    pub parts: Parts,
    /// What the request would cost, where the price is known.
    pub estimate: Option<NanoUsd>,
    /// Whether it would be tried first.
    pub chosen: bool,
    /// How long a pause the provider asked for still lasts; until then it is tried after the others.
    pub resting: Option<Duration>,
    /// Why it may not take the request now; `None` where it may.
    pub why_not: Option<Refusal>,
}

/// Why a model may not take a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The request asks for another model.
    OtherModel,
    /// Question and answer do not fit.
    TooLong {
        /// The most tokens the model holds.
        context_tokens: u64,
        /// About how many are needed.
        needed_tokens: u64,
    },
    /// It failed too often and is left alone for a while.
    ShutOff {
        /// How long until a probe may go; `None` while it is on its way.
        probe_in: Option<Duration>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherModel => f.write_str("is not the model asked for"),
            Self::TooLong { context_tokens, needed_tokens } => {
                write!(f, "holds {context_tokens} tokens, and about {needed_tokens} are needed")
            }
            Self::ShutOff { probe_in: Some(wait) } => {
                write!(f, "is shut off after failing; probe in {wait:.1?}")
            }
            Self::ShutOff { probe_in: None } => {
                f.write_str("is shut off after failing; a probe is on its way")
            }
        }
    }
}

/// The parts of a score, each 0 to 1 and the more the better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Parts {
    /// The chance of a good answer: a prior by model class and task.
    pub quality: f64,
    /// 1 at once, one half after five seconds for the whole answer.
    pub speed: f64,
    /// Whether calls were measured for `speed`; else it is a prior by provider kind.
    pub speed_measured: bool,
    /// 1 for free, one half at a tenth of a cent, 0 where the price is unknown.
    pub cost: f64,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.task_guessed { "guessed" } else { "given" };
        let (task, priority, tokens) = (self.task, self.priority, self.input_tokens);
        writeln!(f, "task {task} ({how}), priority {priority}, about {tokens} input tokens")?;
        let width = self.candidates.iter().map(|c| c.provider.len() + c.model.len() + 1).max().unwrap_or(0);
        if self.candidates.is_empty() {
            return f.write_str("no provider has a chat model\n");
        }
        writeln!(f, "  {:width$}  score  quality  speed   cost  estimate", "model")?;
        self.candidates.iter().try_for_each(|candidate| row(candidate, width, f))
    }
}

fn row(candidate: &Candidate, width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Candidate { score, parts, .. } = candidate;
    let mark = if candidate.chosen { '>' } else { ' ' };
    let name = format!("{}/{}", candidate.provider, candidate.model);
    if let Some(why) = &candidate.why_not {
        return writeln!(f, "{mark} {name:width$}  {why}");
    }
    let measured = if parts.speed_measured { ' ' } else { '~' };
    let estimate = candidate.estimate.map_or("unknown".into(), |cost| cost.to_string());
    let (quality, speed, cost) = (parts.quality, parts.speed, parts.cost);
    write!(
        f,
        "{mark} {name:width$}  {score:5.2}  {quality:7.2}  {speed:5.2}{measured}  {cost:4.2}  {estimate}"
    )?;
    match candidate.resting {
        Some(rest) => writeln!(f, "  rests for {rest:.1?}"),
        None => writeln!(f),
    }
}
