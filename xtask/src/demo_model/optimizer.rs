//! Muon for the matrices (Jordan et al. 2024, scaled as in Liu et al. 2025), AdamW for the embedding and the norms.

use candle_core::{Result, Tensor, Var, backprop::GradStore};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

const MOMENTUM: f64 = 0.95;
const WEIGHT_DECAY: f64 = 0.02;
/// Root mean square of an update at learning rate 1, so that both optimizers share one rate.
const UPDATE_SIZE: f64 = 0.2;

/// One matrix with its momentum.
#[derive(Debug)]
struct Moving {
    matrix: Var,
    momentum: Tensor,
}

/// Both optimizers with one learning rate.
#[derive(Debug)]
pub(crate) struct Muon {
    matrices: Vec<Moving>,
    others: AdamW,
}

impl Muon {
    pub(crate) fn new(matrices: Vec<Var>, others: Vec<Var>) -> Result<Self> {
        let moving = |matrix: Var| Ok(Moving { momentum: matrix.zeros_like()?, matrix });
        let parameters = ParamsAdamW { beta1: 0.9, beta2: 0.98, weight_decay: 0.0, ..ParamsAdamW::default() };
        Ok(Self {
            matrices: matrices.into_iter().map(moving).collect::<Result<_>>()?,
            others: AdamW::new(others, parameters)?,
        })
    }

    /// Moves every weight one step against its gradient.
    pub(crate) fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        for moving in &mut self.matrices {
            if let Some(gradient) = gradients.get(&moving.matrix) {
                moving.step(gradient, learning_rate)?;
            }
        }
        self.others.set_learning_rate(learning_rate);
        self.others.step(gradients)
    }
}

impl Moving {
    fn step(&mut self, gradient: &Tensor, learning_rate: f64) -> Result<()> {
        // A gradient remembers how it was computed; kept in the momentum, that would be every step so far.
        let gradient = &gradient.detach();
        self.momentum = ((&self.momentum * MOMENTUM)? + gradient)?;
        let ahead = ((&self.momentum * MOMENTUM)? + gradient)?;
        let (rows, columns) = ahead.dims2()?;
        let size = learning_rate * UPDATE_SIZE * (rows.max(columns) as f64).sqrt();
        let kept = (self.matrix.as_tensor() * (1.0 - learning_rate * WEIGHT_DECAY))?;
        self.matrix.set(&(kept - (orthogonalized(&ahead)? * size)?)?)
    }
}

/// The nearest matrix whose singular values are all about 1, by five Newton-Schulz steps.
fn orthogonalized(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    if rows > columns {
        return orthogonalized(&matrix.t()?.contiguous()?)?.t()?.contiguous();
    }
    let norm = f64::from(matrix.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let mut x = (matrix / (norm + 1e-7))?;
    for _ in 0..5 {
        let square = x.matmul(&x.t()?)?;
        let polynomial = ((&square * -4.7750)? + (square.matmul(&square)? * 2.0315)?)?;
        x = ((&x * 3.4445)? + polynomial.matmul(&x)?)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::dice::Dice;

    #[test]
    fn orthogonalized_matrix_has_rows_of_about_length_one() {
        let mut dice = Dice::new(1);
        let values: Vec<f32> = (0..8 * 32).map(|_| dice.normal()).collect();
        let matrix = Tensor::from_vec(values, (8, 32), &Device::Cpu).expect("matrix");
        let rows = orthogonalized(&matrix)
            .expect("converges")
            .sqr()
            .expect("square")
            .sum(1)
            .expect("sum")
            .to_vec1::<f32>()
            .expect("rows");
        assert!(rows.iter().all(|length| (0.4..1.6).contains(length)), "{rows:?}");
    }

    #[test]
    fn steps_go_downhill() {
        let matrix = Var::from_vec(vec![3f32, -2.0, 1.0, 4.0], (2, 2), &Device::Cpu).expect("matrix");
        let scale = Var::from_vec(vec![2f32, -1.0], 2, &Device::Cpu).expect("vector");
        let loss = || {
            (matrix.sqr().expect("square").sum_all().expect("sum")
                + scale.sqr().expect("square").sum_all().expect("sum"))
            .expect("sum")
        };
        let before = loss().to_scalar::<f32>().expect("scalar");
        let mut optimizer = Muon::new(vec![matrix.clone()], vec![scale.clone()]).expect("optimizer");
        for _ in 0..300 {
            optimizer.step(&loss().backward().expect("backward"), 0.05).expect("step");
        }
        assert!(loss().to_scalar::<f32>().expect("scalar") < before / 2.0);
    }
}
