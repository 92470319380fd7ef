use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

/// How fast the mean of gradients forgets, and the mean of their squares.
const FORGETTING: (f64, f64) = (0.9, 0.98);
const EPSILON: f64 = 1e-8;
/// By how much of the learning rate matrices shrink in each step.
const WEIGHT_DECAY: f64 = 0.01;
/// Longer gradients are scaled down to this length.
const LONGEST_GRADIENT: f64 = 1.0;

/// AdamW ([Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101)) with gradients clipped by their common length
/// ([Pascanu et al. 2013](https://arxiv.org/abs/1211.5063)).
///
/// candle has an AdamW too, but nobody can see its state, without which training cannot go on later.
pub(super) struct AdamW {
    slots: Vec<Slot>,
    steps: usize,
}

/// What is trained, with the optimizer's memory of it.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) value: Var,
    /// Running mean of the gradients.
    pub(super) mean: Var,
    /// Running mean of their squares.
    pub(super) square: Var,
}

impl AdamW {
    pub(super) fn new(trained: impl IntoIterator<Item = (String, Var)>) -> Result<Self> {
        let slot = |(name, value): (String, Var)| {
            let zeros = || Var::from_tensor(&value.zeros_like()?);
            Ok(Slot { name, mean: zeros()?, square: zeros()?, value })
        };
        Ok(Self { slots: trained.into_iter().map(slot).collect::<Result<_>>()?, steps: 0 })
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Goes on after `steps` steps; the slots hold the state after them.
    pub(super) fn resume(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// Adds the gradients of `loss` to `gradients`; returns those of what is not trained.
    pub(super) fn gather(&self, loss: &Tensor, gradients: &mut Gradients) -> Result<GradStore> {
        let mut store = loss.backward()?;
        gradients.0.resize(self.slots.len(), None);
        for (slot, sum) in self.slots.iter().zip(&mut gradients.0) {
            if let Some(gradient) = store.remove(&slot.value) {
                // A gradient remembers how it was computed, and with it everything that was computed on the way.
                let gradient = gradient.detach();
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                });
            }
        }
        Ok(store)
    }

    /// Moves everything one step against its gradient; `length` is that of all gradients.
    pub(super) fn step(&mut self, gradients: &Gradients, length: f64, learning_rate: f64) -> Result<()> {
        self.steps += 1;
        let scale = (LONGEST_GRADIENT / length).min(1.0);
        for (slot, gradient) in self.slots.iter().zip(&gradients.0) {
            if let Some(gradient) = gradient {
                slot.step(&(gradient * scale)?, self.steps, learning_rate)?;
            }
        }
        Ok(())
    }
}

/// One gradient for each slot; what has no part in the loss has none.
#[derive(Default)]
pub(super) struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Tensor>> {
        self.0.iter().map(Option::as_ref)
    }

    /// The length of all of them together.
    pub(super) fn length(&self) -> Result<f64> {
        let mut sum = 0.0;
        for gradient in self.0.iter().flatten() {
            sum += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        Ok(sum.sqrt())
    }
}

impl Slot {
    fn step(&self, gradient: &Tensor, steps: usize, learning_rate: f64) -> Result<()> {
        let (first, second) = FORGETTING;
        let mean = ((self.mean.as_detached_tensor() * first)? + (gradient * (1.0 - first))?)?;
        let square = ((self.square.as_detached_tensor() * second)? + (gradient.sqr()? * (1.0 - second))?)?;
        // Both means started at zero; early on they are too small by these factors.
        let steps = steps as f64;
        let (mean_share, square_share) = (1.0 - first.powf(steps), 1.0 - second.powf(steps));
        let change = ((&mean / mean_share)? / ((&square / square_share)?.sqrt()? + EPSILON)?)?;
        let decay = if self.value.rank() > 1 { learning_rate * WEIGHT_DECAY } else { 0.0 };
        let kept = (self.value.as_detached_tensor() * (1.0 - decay))?;
        self.value.set(&(kept - (change * learning_rate)?)?)?;
        self.mean.set(&mean)?;
        self.square.set(&square)
    }
}
