use std::f64::consts::TAU;

use super::json::Json;
use crate::Result;
use crate::gguf::Metadata;

/// How positions are rotated, as `config.json` says it and as GGUF does: partly in numbers, partly in vectors of factors.
pub(super) struct Rope {
    base: f64,
    /// Of layers with a window, where it differs.
    window_base: Option<f64>,
    scaling: Json,
    kind: String,
    head_size: u32,
    share: f64,
    context: u32,
    original_context: u32,
}

impl Rope {
    pub(super) fn new(config: &Json, head_size: u32) -> Result<Self> {
        let empty = || Json::empty_beside(config);
        let parameters =
            config.part("rope_parameters").or_else(|| config.part("rope_scaling")).unwrap_or_else(empty);
        // Where layers with a window rotate otherwise, there may be parameters for either kind.
        let window = parameters.part("sliding_attention");
        let scaling = parameters.part("full_attention").unwrap_or(parameters);
        let base = scaling.float("rope_theta").or(config.float("rope_theta")).unwrap_or(10_000.0);
        let window_base = window.and_then(|window| window.float("rope_theta"));
        let kind = ["rope_type", "type"].into_iter().find_map(|key| scaling.text(key)).unwrap_or("default");
        let share =
            ["partial_rotary_factor"].into_iter().find_map(|key| scaling.float(key).or(config.float(key)));
        let context = config.size("max_position_embeddings")?;
        let original = "original_max_position_embeddings";
        Ok(Self {
            base,
            window_base: window_base.or(config.float("rope_local_base_freq")),
            kind: kind.to_owned(),
            head_size,
            share: share.unwrap_or(1.0),
            context,
            original_context: scaling
                .optional_size(original)
                .or(config.optional_size(original))
                .unwrap_or(context),
            scaling,
        })
    }

    pub(super) fn describe(&self, architecture: &str, metadata: &mut Metadata) {
        let mut put =
            |name: &str, value: f64| metadata.insert(format!("{architecture}.{name}"), value as f32);
        put("rope.freq_base", self.base);
        for (name, value) in [
            ("rope.freq_base_swa", self.window_base),
            ("rope.scaling.factor", self.scaling.float("factor").filter(|_| self.kind != "llama3")),
            (
                "rope.scaling.yarn_attn_factor",
                self.scaling.float("attention_factor").filter(|_| self.kind == "yarn"),
            ),
            ("rope.scaling.yarn_beta_fast", self.scaling.float("beta_fast")),
            ("rope.scaling.yarn_beta_slow", self.scaling.float("beta_slow")),
            ("rope.scaling.attn_factor", self.long_magnitude()),
        ] {
            value.map(|value| put(name, value));
        }
        let mut put = |name: &str, value: u32| metadata.insert(format!("{architecture}.{name}"), value);
        put("rope.dimension_count", self.size());
        put("rope.scaling.original_context_length", self.original_context);
        // What is not known is refused by this name when the model is run.
        let kind = match self.kind.as_str() {
            "default" | "llama3" => "none",
            "su" => "longrope",
            other => other,
        };
        metadata.insert(format!("{architecture}.rope.scaling.type"), kind);
    }

    /// The vectors of factors, by their names in GGUF.
    pub(super) fn factors(&self) -> Result<Vec<(&'static str, Vec<f32>)>> {
        let given = |name: &'static str, key: &str| match self.scaling.floats(key) {
            Some(factors) if factors.len() as u32 == self.size() / 2 => Ok((name, factors)),
            _ => Err(self.scaling.wrong(key, &format!("is not an array of {} numbers", self.size() / 2))),
        };
        match self.kind.as_str() {
            "llama3" => Ok(vec![("rope_freqs.weight", self.llama3()?)]),
            "su" | "longrope" => Ok(vec![
                given("rope_factors_long.weight", "long_factor")?,
                given("rope_factors_short.weight", "short_factor")?,
            ]),
            _ => Ok(Vec::new()),
        }
    }

    /// Numbers of a head that are rotated.
    fn size(&self) -> u32 {
        (self.share * f64::from(self.head_size)) as u32
    }

    /// What LongRoPE multiplies rotated numbers with: equation 8 of [Ding et al. 2024](https://arxiv.org/abs/2402.13753).
    fn long_magnitude(&self) -> Option<f64> {
        if !matches!(self.kind.as_str(), "su" | "longrope") {
            return None;
        }
        let own = self.scaling.float("attention_factor");
        let factor = self.scaling.float("factor");
        let factor = factor.unwrap_or(f64::from(self.context) / f64::from(self.original_context));
        let grown = (1.0 + factor.ln() / f64::from(self.original_context).ln()).sqrt();
        own.or(Some(if factor > 1.0 { grown } else { 1.0 }))
    }

    /// Wave lengths of Llama 3.1 over those without scaling: longer ones than the original context grow by the factor, short
    /// ones stay, and there is a ramp between (`llama3` in `transformers`; Llama 3's paper leaves it out).
    fn llama3(&self) -> Result<Vec<f32>> {
        let number = |key: &str| {
            let number = self.scaling.float(key).filter(|number| *number > 0.0);
            number.ok_or_else(|| self.scaling.wrong(key, "is missing or no positive number"))
        };
        let [factor, low, high] =
            [number("factor")?, number("low_freq_factor")?, number("high_freq_factor")?];
        let grown = |pair: u32| {
            let length = TAU * self.base.powf(f64::from(2 * pair) / f64::from(self.size()));
            let turns = f64::from(self.original_context) / length;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 / ((1.0 - kept) / factor + kept)) as f32
        };
        Ok((0..self.size() / 2).map(grown).collect())
    }
}
