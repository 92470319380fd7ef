use serde::Serialize;

/// The most a candidate may lose.
///
/// Each level is named after what passes it on Llama-3-8B over Wikitext-2, as the llama.cpp project measured it
/// (`tools/perplexity/README.md`): mean KL divergence, ln of the perplexity ratio and share of the same top token are
/// Q8_0 0.0014, 0.0002, 97.7 %; Q6_K 0.0055, 0.0035, 96.0 %; Q5_K_M 0.0108, 0.0089; Q4_K_M 0.0313, 0.0278, 91.9 %;
/// Q4_0 0.0719, 0.0722; Q3_K_M 0.1019, 0.0999; Q2_K 0.4451, 0.4476, 71.1 %. The same type loses 2.5 times less on
/// Llama-2-7B: limits judge a loss that was measured, never a type's name. Limits of the 99 % quantile are ours: 15 times
/// those of the mean, where quantized models lie at about ten times.
///
/// ```
/// use aic_quant::gate::Limits;
///
/// let limits = Limits { max_mean_kl: 0.02, ..Limits::balanced() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Highest mean KL(reference‖candidate) in nats for each token.
    pub max_mean_kl: f64,
    /// Highest 99 % quantile of the same; sees damage that the mean dilutes.
    pub max_p99_kl: f64,
    /// Highest ln(perplexity of the candidate / perplexity of the reference).
    pub max_ln_perplexity_ratio: f64,
    /// Smallest share, 0 to 1, of positions where both hold the same token for the likeliest.
    pub min_same_top: f64,
}

/// How many of the limits there are.
pub(super) const LIMITS: usize = 4;

impl Limits {
    /// What Q8_0 and Q6_K keep: mean KL 0.01, 99 % quantile 0.15, ln perplexity ratio 0.01, same top 94 %.
    pub const fn near_lossless() -> Self {
        Self { max_mean_kl: 0.01, max_p99_kl: 0.15, max_ln_perplexity_ratio: 0.01, min_same_top: 0.94 }
    }

    /// What Q4_K_M keeps, and Q4_0 does not: 0.06, 0.9, 0.06, 88 %.
    pub const fn balanced() -> Self {
        Self { max_mean_kl: 0.06, max_p99_kl: 0.9, max_ln_perplexity_ratio: 0.06, min_same_top: 0.88 }
    }

    /// What Q3_K_M keeps, and Q2_K does not: 0.15, 2.25, 0.15, 80 %.
    pub const fn small() -> Self {
        Self { max_mean_kl: 0.15, max_p99_kl: 2.25, max_ln_perplexity_ratio: 0.15, min_same_top: 0.80 }
    }
}

/// [`Limits::balanced`].
impl Default for Limits {
    fn default() -> Self {
        Self::balanced()
    }
}
