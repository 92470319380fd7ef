use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Prior};
use crate::{ModelInfo, Task};

/// How capable a model is, in steps of roughly a factor of four in size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelClass {
    /// Under a billion parameters: completes phrases, sorts texts.
    Tiny,
    /// One to five billion parameters.
    Small,
    /// Six to fifteen billion parameters, and the smallest cloud models.
    Medium,
    /// Sixteen to a hundred billion parameters, and the quick cloud models.
    Large,
    /// The largest models.
    Frontier,
}

/// Cloud families by a piece of their names; the first that is found counts.
const FAMILIES: &[(&str, ModelClass)] = &[
    ("nano", ModelClass::Medium),
    ("flash-lite", ModelClass::Medium),
    ("-mini", ModelClass::Large),
    ("ministral", ModelClass::Medium),
    ("mistral-small", ModelClass::Large),
    ("mistral-medium", ModelClass::Large),
    ("codestral", ModelClass::Large),
    ("flash", ModelClass::Large),
    ("haiku", ModelClass::Large),
    ("gpt-4o", ModelClass::Large),
    ("opus", ModelClass::Frontier),
    ("sonnet", ModelClass::Frontier),
    ("gpt-", ModelClass::Frontier),
    ("-pro", ModelClass::Frontier),
    ("mistral-large", ModelClass::Frontier),
    ("deepseek-", ModelClass::Frontier),
    ("grok-", ModelClass::Frontier),
];

/// The dated table of chances, `quality.json` beside this crate's manifest; each row states its source.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../quality.json")).expect("quality.json is checked by a test")
});

#[derive(Debug, Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    task: Task,
    worth: f64,
    tiny: f64,
    small: f64,
    medium: f64,
    large: f64,
    frontier: f64,
}

/// What a named strength adds to the chance, at most up to [`BEST`].
const STRENGTH_BONUS: f64 = 0.08;
/// Nothing is always good.
const BEST: f64 = 0.99;

/// The chance of a good answer.
///
/// Before anybody said how answers were, it is a prior by class of model and task: public benchmarks of one
/// family of models, and by hand where there are none (`quality.json` states each row's source). Feedback is
/// added to it as to a Beta distribution; each piece halves the weight of the ones 50 before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quality {
    /// The expected chance, 0 to 1. Choices are made by it, floors included: a lower bound would rule a model
    /// out for being little known rather than for being bad.
    pub mean: f64,
    /// The chance lies above this in 19 cases of 20.
    pub low: f64,
    /// The chance lies below this in 19 cases of 20.
    pub high: f64,
    /// How many pieces of feedback are in it, older ones counted for less; 0 where it is the prior.
    pub feedback: f64,
}

impl Quality {
    pub(crate) fn new(prior: Prior, seen: Evidence) -> Self {
        let (low, high) = seen.interval(prior);
        Self { mean: seen.mean(prior), low, high, feedback: seen.total() }
    }
}

impl ModelClass {
    /// Guesses a class from a model's name: its size where it has one (`llama3.1:8b`), else its family.
    ///
    /// `None` where the name says neither.
    pub fn guess(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let family = || FAMILIES.iter().find(|(piece, _)| name.contains(piece)).map(|(_, class)| *class);
        billions(&name).map(Self::of_size).or_else(family)
    }

    /// The class of a model: what is stated, else what its name says, else small.
    pub(crate) fn of(model: &ModelInfo) -> Self {
        model.class.or_else(|| Self::guess(&model.name)).unwrap_or(Self::Small)
    }

    /// The class of a model with so many billion parameters.
    pub fn of_size(billions: f64) -> Self {
        match billions {
            b if b < 1.0 => Self::Tiny,
            b if b < 6.0 => Self::Small,
            b if b < 16.0 => Self::Medium,
            b if b <= 100.0 => Self::Large,
            _ => Self::Frontier,
        }
    }
}

/// What is believed of a model's answers before any were judged.
pub(crate) fn prior(model: &ModelInfo, task: Task) -> Prior {
    let class = ModelClass::of(model);
    let bonus = if model.strengths.contains(&task) { STRENGTH_BONUS } else { 0.0 };
    let row = TABLE.rows.iter().find(|row| row.task == task).unwrap_or(&TABLE.rows[0]);
    Prior { chance: (row.chances()[class as usize] + bonus).min(BEST), worth: row.worth }
}

impl Row {
    /// In the order of the classes.
    fn chances(&self) -> [f64; 5] {
        [self.tiny, self.small, self.medium, self.large, self.frontier]
    }
}

/// The number before a lone `b` or `m` in a model's name: 8 in `llama3.1:8b`, 0.36 in `smollm:360m`.
fn billions(name: &str) -> Option<f64> {
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').find_map(|word| {
        let (digits, unit) = word.split_at_checked(word.len().checked_sub(1)?)?;
        let size: f64 = digits.parse().ok()?;
        match unit {
            "b" => Some(size),
            "m" => Some(size / 1000.0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_is_read_from_the_name() {
        let cases = [
            ("llama3.1:8b", Some(ModelClass::Medium)),
            ("qwen2.5:0.5b-instruct", Some(ModelClass::Tiny)),
            ("smollm2:360m", Some(ModelClass::Tiny)),
            ("meta-llama/Llama-3.3-70B-Instruct", Some(ModelClass::Large)),
            ("gpt-5-mini", Some(ModelClass::Large)),
            ("gpt-5.5", Some(ModelClass::Frontier)),
            ("claude-haiku-4-5", Some(ModelClass::Large)),
            ("gemini-2.5-flash-lite", Some(ModelClass::Medium)),
            ("gemini-2.5-pro", Some(ModelClass::Frontier)),
            ("mistral-large-latest", Some(ModelClass::Frontier)),
            ("grok-4-mini", Some(ModelClass::Large)),
            ("mystery", None),
        ];
        for (name, class) in cases {
            assert_eq!(ModelClass::guess(name), class, "{name}");
        }
    }

    #[test]
    fn table_has_every_task_once_and_a_larger_class_is_never_worse() {
        let mut tasks: Vec<Task> = TABLE.rows.iter().map(|row| row.task).collect();
        tasks.sort_by_key(|task| task.as_str());
        tasks.dedup();

        assert_eq!((tasks.len(), TABLE.rows.len()), (Task::ALL.len(), Task::ALL.len()));
        for row in &TABLE.rows {
            let chances = row.chances();
            assert!(
                chances.is_sorted() && chances[0] > 0.0 && chances[4] < BEST && row.worth > 0.0,
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_strength_raises_the_prior() {
        let plain = ModelInfo::chat("qwen:7b");
        let coder = plain.clone().strength(Task::Code);

        assert!(prior(&coder, Task::Code).chance > prior(&plain, Task::Code).chance);
        assert_eq!(prior(&coder, Task::Summary), prior(&plain, Task::Summary));
    }
}
