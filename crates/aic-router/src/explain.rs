use std::fmt;

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

    /// Every reason why a model may not take the request, in one line.
    pub(crate) fn refusals(&self) -> String {
        let line = |c: &Candidate| {
            c.why_not
                .as_ref()
                .map(|why| format!("`{}/{}` {why}", c.provider, c.model))
        };
        let lines: Vec<String> = self.candidates.iter().filter_map(line).collect();
        if lines.is_empty() {
            "no provider has a chat model".into()
        } else {
            lines.join(", ")
        }
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
    /// Why it may not take the request now; `None` where it may.
    pub why_not: Option<String>,
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
        writeln!(
            f,
            "task {task} ({how}), priority {priority}, about {tokens} input tokens"
        )?;
        let width = self
            .candidates
            .iter()
            .map(|c| c.provider.len() + c.model.len() + 1)
            .max()
            .unwrap_or(0);
        writeln!(f, "  {:width$}  score  quality  speed   cost  estimate", "model")?;
        self.candidates
            .iter()
            .try_for_each(|candidate| row(candidate, width, f))
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
    let estimate = candidate
        .estimate
        .map_or("unknown".into(), |cost| cost.to_string());
    let (quality, speed, cost) = (parts.quality, parts.speed, parts.cost);
    writeln!(
        f,
        "{mark} {name:width$}  {score:5.2}  {quality:7.2}  {speed:5.2}{measured}  {cost:4.2}  {estimate}"
    )
}
