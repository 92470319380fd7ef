use crate::{Error, Importance, Result, TensorInfo};

/// How much a weight matters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Saliency<'a> {
    /// Its absolute value.
    Magnitude,
    /// Its absolute value times the norm of the inputs that meet it. Needs the importance of the same model: one made of the
    /// whole model does not fit what is left of its layers.
    Wanda(&'a Importance),
}

/// The scores of one matrix's weights.
pub(super) struct Scorer {
    /// What the weights of each column are multiplied with; `None` if with nothing.
    norms: Option<Vec<f32>>,
}

impl Saliency<'_> {
    /// # Errors
    /// [`Error::Tensor`] if no importance of `tensor` is known, or it has another length.
    pub(super) fn of(self, tensor: &TensorInfo) -> Result<Scorer> {
        let Self::Wanda(importance) = self else { return Ok(Scorer { norms: None }) };
        let wrong = |problem| Err(Error::tensor(&tensor.name, problem));
        match importance.get(&tensor.name) {
            None => wrong("has no importance; calibrate this model first".to_owned()),
            Some(squares) if squares.len() != tensor.row_length() => wrong(format!(
                "has {} inputs and an importance of {}; calibrate this model first",
                tensor.row_length(),
                squares.len()
            )),
            Some(squares) => Ok(Scorer { norms: Some(squares.into_iter().map(f32::sqrt).collect()) }),
        }
    }
}

impl Scorer {
    /// Turns a row of `tensor` into the scores of its weights, which are finite and not negative.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a weight is not a number.
    pub(super) fn score(&self, tensor: &TensorInfo, row: &mut [f32]) -> Result<()> {
        row.iter_mut().for_each(|weight| *weight = weight.abs());
        if let Some(norms) = &self.norms {
            row.iter_mut().zip(norms).for_each(|(weight, norm)| *weight *= norm);
        }
        match row.iter().find(|score| !score.is_finite()) {
            None => Ok(()),
            Some(score) => Err(Error::tensor(&tensor.name, format!("has a weight of score {score}"))),
        }
    }
}
