use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{each_row, floats, values};

/// The mean negative log-likelihood of a target per row of logits, each row with its own weight.
#[derive(Clone, Debug)]
pub(crate) struct CrossEntropy {
    pub(crate) targets: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

impl CrossEntropy {
    fn total_weight(&self) -> f32 {
        self.weights.iter().sum::<f32>().max(f32::MIN_POSITIVE)
    }

    /// Negative log-likelihood of each row's target; 0 where the weight is 0.
    pub(crate) fn losses(&self, logits: &[f32]) -> Vec<f32> {
        let width = logits.len() / self.targets.len().max(1);
        let mut losses = vec![0f32; self.targets.len()];
        each_row(&mut losses, 1, |row, loss| {
            if self.weights[row] > 0.0 {
                let logits = &logits[row * width..][..width];
                loss[0] = log_sum_exp(logits) - logits[self.targets[row] as usize];
            }
        });
        losses
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "weighted-cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let losses = self.losses(floats(storage, layout)?);
        let sum: f32 = losses.iter().zip(&self.weights).map(|(loss, weight)| loss * weight).sum();
        Ok((CpuStorage::F32(vec![sum / self.total_weight()]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = logits.dim(1)?;
        let scale = gradient.to_scalar::<f32>()? / self.total_weight();
        let inputs = values(logits)?;
        let mut out = vec![0f32; inputs.len()];
        each_row(&mut out, width, |row, out| {
            let factor = self.weights[row] * scale;
            if factor == 0.0 {
                return;
            }
            let logits = &inputs[row * width..][..width];
            let normalizer = log_sum_exp(logits);
            for (out, logit) in out.iter_mut().zip(logits) {
                *out = (logit - normalizer).exp() * factor;
            }
            out[self.targets[row] as usize] -= factor;
        });
        Ok(Some(Tensor::from_vec(out, logits.shape(), logits.device())?))
    }
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::{super::assert_gradient, *};

    #[test]
    fn gradient_is_the_slope() {
        let op = CrossEntropy { targets: vec![1, 0, 3], weights: vec![1.0, 0.0, 0.5] };
        assert_gradient(&[3, 4], |logits| logits.apply_op1(op.clone()));
    }
}
