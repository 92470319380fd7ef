use serde::{Deserialize, Serialize};

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
    ("mini", ModelClass::Large),
    ("flash", ModelClass::Large),
    ("haiku", ModelClass::Large),
    ("gpt-4o", ModelClass::Large),
    ("opus", ModelClass::Frontier),
    ("sonnet", ModelClass::Frontier),
    ("gpt-", ModelClass::Frontier),
    ("-pro", ModelClass::Frontier),
];

/// Chance of a good answer by class (Tiny … Frontier). **A prior**, set by hand to express that size matters
/// more for code and arithmetic than for classifying and summarizing; nothing here was measured.
const PRIORS: &[(Task, [f64; 5])] = &[
    (Task::General, [0.20, 0.50, 0.68, 0.82, 0.93]),
    (Task::Factual, [0.15, 0.45, 0.65, 0.82, 0.93]),
    (Task::Arithmetic, [0.08, 0.40, 0.62, 0.82, 0.94]),
    (Task::Classification, [0.45, 0.70, 0.82, 0.89, 0.92]),
    (Task::Creative, [0.20, 0.48, 0.65, 0.80, 0.93]),
    (Task::Summary, [0.25, 0.62, 0.77, 0.87, 0.92]),
    (Task::Code, [0.05, 0.35, 0.58, 0.78, 0.93]),
    (Task::Tools, [0.05, 0.38, 0.60, 0.82, 0.92]),
    (Task::Audio, [0.20, 0.45, 0.62, 0.78, 0.88]),
];

/// What a named strength adds to the chance, at most up to 1.
const STRENGTH_BONUS: f64 = 0.08;

impl ModelClass {
    /// Guesses a class from a model's name: its size where it has one (`llama3.1:8b`), else its family.
    ///
    /// `None` where the name says neither.
    pub fn guess(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let family = || FAMILIES.iter().find(|(piece, _)| name.contains(piece)).map(|(_, class)| *class);
        billions(&name).map(Self::of_size).or_else(family)
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

/// The chance, 0 to 1, that `model` does `task` well; an unknown model counts as small.
pub(crate) fn prior(model: &ModelInfo, task: Task) -> f64 {
    let class = model.class.or_else(|| ModelClass::guess(&model.name)).unwrap_or(ModelClass::Small);
    let row = PRIORS.iter().find(|(of, _)| *of == task).map_or(&PRIORS[0].1, |(_, row)| row);
    let bonus = if model.strengths.contains(&task) { STRENGTH_BONUS } else { 0.0 };
    (row[class as usize] + bonus).min(1.0)
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
            ("mystery", None),
        ];
        for (name, class) in cases {
            assert_eq!(ModelClass::guess(name), class, "{name}");
        }
    }

    #[test]
    fn a_larger_class_is_never_worse() {
        assert!(PRIORS.iter().all(|(_, row)| row.is_sorted()));
    }

    #[test]
    fn a_strength_raises_the_prior() {
        let plain = ModelInfo::chat("qwen:7b");
        let coder = plain.clone().strength(Task::Code);

        assert!(prior(&coder, Task::Code) > prior(&plain, Task::Code));
        assert_eq!(prior(&coder, Task::Summary), prior(&plain, Task::Summary));
    }
}
