use super::{Activation, Config};
use crate::{Error, Result};

impl Config {
    /// That the model has no more than a plain Llama has, as long as it sees no more than `context` tokens: what candle's
    /// tensors run and distillation trains.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming what there is more.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) fn check_plain(&self, context: usize) -> Result<()> {
        self.check_plain_until(context, self.layers)
    }

    /// As [`check_plain`](Self::check_plain), of the first `layers` layers; what comes after the last counts if these are all.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) fn check_plain_until(&self, context: usize, layers: usize) -> Result<()> {
        match self.beyond_plain(context, layers) {
            None => Ok(()),
            Some(feature) => Err(Error::Unsupported {
                what: "on this device, and for distillation, an architecture like",
                name: format!("{} (with {feature})", self.architecture.name()),
                supported: "llama, qwen2 and qwen3 without windows",
            }),
        }
    }

    fn beyond_plain(&self, context: usize, layers: usize) -> Option<&'static str> {
        let capped = self.logit_softcap.is_some() && layers == self.layers;
        let has_window = |layer| self.layer(layer).window.is_some_and(|window| window < context);
        let rope = self.layer(0).rope;
        [
            (self.attention_softcap.is_some() || capped, "soft caps"),
            (self.fused_qkv || self.fused_gate_up, "fused matrices"),
            (self.post_norms, "norms after attention"),
            (self.activation != Activation::Silu, "a GELU"),
            (self.embedding_scale != 1.0, "scaled embeddings"),
            (self.query_scale != default_scale(self.head_size), "scores of another scale"),
            ((0..layers).any(has_window), "windows shorter than the context"),
            ((0..layers).any(|layer| self.layer(layer).rope != rope), "several kinds of positions"),
            (self.long_rope, "factors that depend on the context"),
        ]
        .into_iter()
        .find_map(|(there, name)| there.then_some(name))
    }
}

/// What scores are multiplied with as [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762) has it.
pub(super) fn default_scale(head_size: usize) -> f32 {
    (1.0 / (head_size as f64).sqrt()) as f32
}
