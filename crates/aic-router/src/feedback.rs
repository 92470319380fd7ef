use serde::{Deserialize, Serialize};

use crate::{Answer, Task};

/// How good an answer was, as somebody judged it: a person, a test, a stronger model.
///
/// ```
/// use aic_router::{Feedback, Task};
///
/// let praise = Feedback::new("ollama", "qwen3:8b", Task::Code, 1.0);
/// # assert_eq!(praise.good, 1.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The provider that answered.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// What the answer was for.
    pub task: Task,
    /// How good it was, 0 (useless) to 1 (as wished).
    pub good: f64,
}

impl Feedback {
    /// On an answer of `provider`'s `model`; `good` is 0 (useless) to 1 (as wished).
    pub fn new(provider: impl Into<String>, model: impl Into<String>, task: Task, good: f64) -> Self {
        Self { provider: provider.into(), model: model.into(), task, good }
    }

    /// On `answer`. The task is the request's own, or [`Task::guess`] of it.
    pub fn on(answer: &Answer, task: Task, good: f64) -> Self {
        Self::new(&answer.provider, &answer.model, task, good)
    }
}
