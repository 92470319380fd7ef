use candle_core::{D, Result, Tensor};

/// How much each part of the loss counts; their weighted sum is what training lowers.
///
/// ```
/// use aic_quant::distill::Objective;
///
/// let plain_training = Objective { logits: 0.0, hidden: 0.0, text: 1.0 };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The teacher's answer: the Kullback-Leibler divergence of the student's distribution of the next token from the
    /// teacher's, both softened by the temperature T, times T²
    /// ([Hinton et al. 2015](https://arxiv.org/abs/1503.02531), section 2). Defaults to 1.
    pub logits: f64,
    /// The teacher's way there: one minus the cosine of the angle between the student's state after a layer and the
    /// teacher's after the corresponding one, as [DistilBERT](https://arxiv.org/abs/1910.01108) has it for the last
    /// layer. Where widths differ, a matrix that is trained along takes one to the other
    /// ([TinyBERT](https://arxiv.org/abs/1909.10351), section 3.1). Defaults to 0.
    pub hidden: f64,
    /// The text itself: the cross entropy of the token that follows. Defaults to 0.1.
    pub text: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self { logits: 1.0, hidden: 0.0, text: 0.1 }
    }
}

impl Objective {
    pub(super) fn is_sound(&self) -> bool {
        let weights = [self.logits, self.hidden, self.text];
        weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
            && weights.iter().any(|weight| *weight > 0.0)
    }

    /// Whether the teacher has to run at all.
    pub(super) fn asks_the_teacher(&self) -> bool {
        self.logits > 0.0 || self.hidden > 0.0
    }

    /// Whether the student's logits count at all.
    pub(super) fn counts_logits(&self) -> bool {
        self.logits > 0.0 || self.text > 0.0
    }

    /// The same, as one of several that are added up.
    pub(super) fn scaled(self, share: f64) -> Self {
        Self { logits: self.logits * share, hidden: self.hidden * share, text: self.text * share }
    }

    /// What training lowers, for the parts that can be measured without the teacher's states.
    pub(super) fn judge(&self, nats: f64, divergence: f64) -> f64 {
        if self.counts_logits() { self.logits * divergence + self.text * nats } else { divergence }
    }
}

/// T² · KL(teacher ‖ student) at temperature T, the mean over rows. Both are logits, `[rows, vocabulary]`.
pub(super) fn divergence(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let student = log_softmax(&(student / temperature)?)?;
    let teacher = log_softmax(&(teacher / temperature)?)?;
    let rows = teacher.dim(0)? as f64;
    (teacher.exp()? * (teacher - student)?)?.sum_all()? * (temperature * temperature / rows)
}

/// −ln of the probability of each row's target, the mean over rows.
pub(super) fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    log_softmax(logits)?.gather(&targets.unsqueeze(1)?, 1)?.mean_all()?.neg()
}

/// One minus the cosine between corresponding rows, the mean over rows.
pub(super) fn angle(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let dot = |a: &Tensor, b: &Tensor| (a * b)?.sum(D::Minus1);
    // A row of zeros has no direction; the small number makes it one at a right angle to everything.
    let length = |x: &Tensor| (dot(x, x)? + 1e-12)?.sqrt();
    let cosines = (dot(student, teacher)? / (length(student)? * length(teacher)?)?)?;
    1.0 - cosines.mean_all()?
}

/// The maximum, subtracted against overflow, has no part in the gradient.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn rows(rows: &[[f32; 3]; 2]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    fn number(tensor: Result<Tensor>) -> f64 {
        f64::from(tensor.unwrap().to_scalar::<f32>().unwrap())
    }

    fn softmax(logits: [f32; 3], temperature: f64) -> Vec<f64> {
        let powers = logits.map(|logit| (f64::from(logit) / temperature).exp());
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    }

    #[test]
    fn divergence_is_the_textbook_s_times_the_squared_temperature() {
        let (student, teacher) = ([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]], [[2.0, -1.0, 0.0], [0.5, 0.5, 4.0]]);
        for temperature in [1.0, 2.5] {
            let of_row = |row: usize| {
                let (q, p) = (softmax(student[row], temperature), softmax(teacher[row], temperature));
                p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
            };
            let expected = temperature * temperature * (of_row(0) + of_row(1)) / 2.0;

            let actual = number(divergence(&rows(&student), &rows(&teacher), temperature));

            assert!((actual - expected).abs() < 1e-5, "{actual} {expected}");
        }
        assert!(number(divergence(&rows(&student), &rows(&student), 1.0)).abs() < 1e-6);
    }

    #[test]
    fn cross_entropy_is_the_mean_over_targets_and_survives_large_logits() {
        let targets = Tensor::new(&[1_u32, 2], &Device::Cpu).unwrap();
        let logits = [[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]];
        let expected = -(softmax(logits[0], 1.0)[1].ln() + softmax(logits[1], 1.0)[2].ln()) / 2.0;

        assert!((number(cross_entropy(&rows(&logits), &targets)) - expected).abs() < 1e-6);
        let shifted = rows(&logits.map(|row| row.map(|logit| logit + 1000.0)));
        assert!((number(cross_entropy(&shifted, &targets)) - expected).abs() < 1e-3);
    }

    #[test]
    fn angle_depends_on_directions_alone() {
        let x = rows(&[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]);

        assert!(number(angle(&x, &rows(&[[3.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))).abs() < 1e-6);
        assert!((number(angle(&x, &rows(&[[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]))) - 1.5).abs() < 1e-6);
        assert!((number(angle(&x, &x.zeros_like().unwrap())) - 1.0).abs() < 1e-6);
    }
}
