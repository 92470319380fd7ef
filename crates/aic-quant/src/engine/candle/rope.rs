use candle_core::{D, Device, Result, Tensor};

use crate::engine::config::Config;

/// Rotary position embedding: pairs of numbers of each head are turned by an angle that grows with the position
/// ([Su et al. 2021](https://arxiv.org/abs/2104.09864)).
pub(crate) struct Rope {
    /// Angle for one position, of each pair.
    frequencies: Vec<f64>,
    /// What rotated numbers are multiplied with.
    magnitude: f64,
    pub(crate) neighbours: bool,
    pub(crate) size: usize,
}

/// Cosines and sines of some positions, `[positions, pairs]`.
pub(crate) struct Angles {
    pub(crate) cosines: Tensor,
    pub(crate) sines: Tensor,
}

impl Rope {
    /// As the first layer has it, and all others of a [plain](Config::check_plain) model. `factors`, one for each pair, stretch
    /// the wave lengths as Llama 3.1 does for long contexts.
    pub(crate) fn new(config: &Config, factors: Option<&[f32]>) -> Self {
        let (frequencies, magnitude) = config.inverse_frequencies(0, factors);
        Self {
            frequencies,
            magnitude: magnitude.into(),
            neighbours: config.architecture.rotates_neighbours(),
            size: config.rope_size,
        }
    }

    /// The angles of `count` positions from `start` on.
    pub(crate) fn angles(&self, start: usize, count: usize, device: &Device) -> Result<Angles> {
        let angle =
            |position: usize| self.frequencies.iter().map(move |frequency| position as f64 * frequency);
        let angles: Vec<f64> = (start..start + count).flat_map(angle).collect();
        let table = |function: fn(f64) -> f64| {
            let values: Vec<f32> =
                angles.iter().map(|angle| (function(*angle) * self.magnitude) as f32).collect();
            Tensor::from_vec(values, (count, self.frequencies.len()), device)
        };
        Ok(Angles { cosines: table(f64::cos)?, sines: table(f64::sin)? })
    }

    /// Rotates `heads`, `[heads, positions, head_size]`; sizes beyond the rotated ones pass unchanged.
    pub(crate) fn rotate(&self, heads: &Tensor, angles: &Angles) -> Result<Tensor> {
        let head_size = heads.dim(D::Minus1)?;
        if self.size == head_size {
            return self.rotate_whole(heads, angles);
        }
        let rotated = self.rotate_whole(&heads.narrow(D::Minus1, 0, self.size)?.contiguous()?, angles)?;
        let rest = heads.narrow(D::Minus1, self.size, head_size - self.size)?;
        // Of a single position the tensor library joins the parts the other way round.
        Tensor::cat(&[&rotated, &rest], D::Minus1)?.contiguous()
    }

    fn rotate_whole(&self, heads: &Tensor, angles: &Angles) -> Result<Tensor> {
        let batch = heads.unsqueeze(0)?;
        let rotated = if self.neighbours {
            candle_nn::rotary_emb::rope_i(&batch, &angles.cosines, &angles.sines)?
        } else {
            candle_nn::rotary_emb::rope(&batch, &angles.cosines, &angles.sines)?
        };
        rotated.squeeze(0)
    }
}
