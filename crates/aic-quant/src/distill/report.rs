use std::time::Duration;

/// How well the student predicts texts it does not learn from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeldOut {
    /// Mean of −ln of the probability of each token, in nats.
    pub loss: f64,
    /// The teacher's.
    pub teacher_loss: f64,
    /// Mean Kullback-Leibler divergence of the student's distribution from the teacher's, in nats, at temperature 1.
    pub divergence: f64,
}

impl HeldOut {
    /// e to the loss: how many equally likely tokens the student hesitates between.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }

    /// The teacher's perplexity.
    pub fn teacher_perplexity(&self) -> f64 {
        self.teacher_loss.exp()
    }

    pub(super) fn to_numbers(self) -> Vec<f64> {
        vec![self.loss, self.teacher_loss, self.divergence]
    }

    pub(super) fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let &[loss, teacher_loss, divergence] = numbers else { return None };
        Some(Self { loss, teacher_loss, divergence })
    }
}

/// How far a distillation has come.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Steps done, at least 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The weighted loss of this step's batch.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Tokens learnt from each second, measuring left out.
    pub tokens_per_second: f64,
    /// How long the remaining steps take at the speed so far.
    pub time_left: Duration,
    /// The student after this step, if it was measured then.
    pub held_out: Option<HeldOut>,
}

/// What a distillation came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Distilled {
    /// Steps done, those before an interruption included.
    pub steps: usize,
    /// Whether all steps are done; if not, a checkpoint lets the same call go on.
    pub finished: bool,
    /// Tokens learnt from, each as often as it was learnt from.
    pub tokens: u64,
    /// How many numbers the student has.
    pub parameters: u64,
    /// The untrained student; `None` if nothing was held out.
    pub before: Option<HeldOut>,
    /// The student in the target file; `None` if nothing was held out.
    pub best: Option<HeldOut>,
    /// After how many steps that was.
    pub best_step: usize,
    /// How long this run took.
    pub elapsed: Duration,
}
