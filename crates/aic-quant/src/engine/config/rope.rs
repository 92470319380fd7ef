use std::f64::consts::TAU;

use super::keys::Keys;
use crate::Result;

/// Rotary position embedding ([Su et al. 2021](https://arxiv.org/abs/2104.09864)) as one kind of layer has it: how fast
/// each pair of a head's numbers turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RopeKind {
    /// Pair `i` of a rotated size `n` has the wave length `2π · base^(2i/n)`.
    base: f64,
    /// What wave lengths are multiplied with, for a longer context than the model was first trained with
    /// ([Chen et al. 2023](https://arxiv.org/abs/2306.15595)).
    factor: f64,
    yarn: Option<Yarn>,
    magnitude: f64,
}

/// Which wave lengths keep their length nevertheless ([Peng et al. 2023](https://arxiv.org/abs/2309.00071), section 3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Yarn {
    /// Tokens of the context the model was first trained with.
    context: usize,
    /// Pairs that turn more often than this within it keep their wave length.
    fast: f64,
    /// Pairs that turn less often than this are stretched in full.
    slow: f64,
}

impl RopeKind {
    pub(super) fn new(keys: &Keys<'_>, context: usize) -> Result<Self> {
        let plain = Self {
            base: keys.positive("rope.freq_base")?.unwrap_or(10_000.0),
            factor: 1.0,
            yarn: None,
            magnitude: keys.positive("rope.scaling.attn_factor")?.unwrap_or(1.0),
        };
        match keys.metadata.string(&keys.key("rope.scaling.type"))? {
            // Of longrope all is said by the factors and the magnitude.
            Some("none" | "longrope") => Ok(plain),
            None | Some("linear") => Ok(Self { factor: factor(keys)?, ..plain }),
            Some("yarn") => plain.with_yarn(keys, context),
            Some(other) => Err(keys.wrong("rope.scaling.type", other, "none, linear, yarn or longrope")),
        }
    }

    fn with_yarn(self, keys: &Keys<'_>, context: usize) -> Result<Self> {
        let factor = factor(keys)?;
        let own = keys.positive("rope.scaling.yarn_attn_factor")?;
        let yarn = Yarn {
            context: keys.optional_size("rope.scaling.original_context_length")?.unwrap_or(context),
            fast: keys.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            slow: keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        };
        // Equation 22: a longer context dilutes attention, larger scores make up for it.
        let magnitude = own.unwrap_or(1.0 + 0.1 * factor.max(1.0).ln()) * self.magnitude;
        Ok(Self { factor, yarn: Some(yarn), magnitude, ..self })
    }

    /// As it is without scaling, and with another base.
    pub(super) fn with_base(base: f64) -> Self {
        Self { base, factor: 1.0, yarn: None, magnitude: 1.0 }
    }

    /// The angle of one position for each of `size / 2` pairs, and what rotated numbers are multiplied with.
    ///
    /// `factors`, one for each pair, stretch the wave lengths one by one, as Llama 3.1 and LongRoPE
    /// ([Ding et al. 2024](https://arxiv.org/abs/2402.13753)) do. Numbers are those of `transformers`, but kept in double
    /// precision, which positions beyond some ten thousand need.
    pub(super) fn frequencies(&self, size: usize, factors: Option<&[f32]>) -> (Vec<f64>, f32) {
        let frequency = |pair: usize| {
            let own = factors.map_or(1.0, |factors| f64::from(factors[pair]));
            let plain = 1.0 / (self.base.powf((2 * pair) as f64 / size as f64) * own);
            let kept = self.yarn.map_or(0.0, |yarn| yarn.kept(pair, size, self.base));
            plain * kept + plain / self.factor * (1.0 - kept)
        };
        ((0..size / 2).map(frequency).collect(), self.magnitude as f32)
    }
}

impl Yarn {
    /// The share of its own wave length that `pair` keeps, 0 to 1.
    fn kept(&self, pair: usize, size: usize, base: f64) -> f64 {
        let last = size as f64 - 1.0;
        let first_stretched = self.pair_of(self.fast, size, base).floor().max(0.0);
        let last_kept = self.pair_of(self.slow, size, base).ceil().min(last);
        let width = (last_kept - first_stretched).max(0.001);
        1.0 - ((pair as f64 - first_stretched) / width).clamp(0.0, 1.0)
    }

    /// The pair, as a fraction, that turns `turns` times within the context.
    fn pair_of(&self, turns: f64, size: usize, base: f64) -> f64 {
        size as f64 * (self.context as f64 / (turns * TAU)).ln() / (2.0 * base.ln())
    }
}

fn factor(keys: &Keys<'_>) -> Result<f64> {
    let named = keys.positive_or_zero("rope.scaling.factor")?;
    Ok(named
        .map_or_else(|| keys.positive_or_zero("rope.scale_linear"), |factor| Ok(Some(factor)))?
        .unwrap_or(1.0))
}
