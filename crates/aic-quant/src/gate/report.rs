use std::fmt;

use serde::Serialize;

use super::bootstrap::{Bootstrap, mean, quantile};
use super::limits::LIMITS;
use super::sketch::Measure;
use super::{Behaviour, Estimate, Finding, Limits, Verdict};

/// What the gate measured and what follows from it.
///
/// [`Display`](fmt::Display) prints a table that ends with the verdict in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The outcome.
    pub verdict: Verdict,
    /// What it was judged by.
    pub limits: Limits,
    /// The probability, 0 to 1, with which all intervals of all looks hold together.
    pub confidence: f64,
    /// Windows of text that were read.
    pub windows: usize,
    /// Windows the text has.
    pub windows_planned: usize,
    /// The measures; `None` if there were too few positions, or what was found before spoke for itself.
    pub measures: Option<Measures>,
    /// What is wrong with the candidate's file; `None` if the gate was given models, not files.
    pub findings: Option<Vec<Finding>>,
    /// How the answers to the probes compare; `None` without probes.
    pub behaviour: Option<Behaviour>,
}

/// How the candidate's predictions differ from the reference's, over every position that was scored.
///
/// Defined as llama.cpp's `llama-perplexity --kl-divergence` does. Divergences are in nats, probabilities and shares from
/// 0 to 1. Intervals are paired: both models are resampled at the same positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measures {
    /// Positions scored.
    pub tokens: usize,
    /// e to the mean −ln p of the true token under the reference.
    pub reference_perplexity: Estimate,
    /// The same under the candidate.
    pub candidate_perplexity: Estimate,
    /// ln of the candidate's perplexity over the reference's, paired position by position.
    pub ln_perplexity_ratio: Estimate,
    /// Mean KL(reference‖candidate).
    pub mean_kl: Estimate,
    /// Its 99 % quantile over positions.
    pub p99_kl: Estimate,
    /// Its median.
    pub median_kl: f64,
    /// Its highest value.
    pub max_kl: f64,
    /// The share of positions where both hold the same token for the likeliest.
    pub same_top: Estimate,
    /// Mean of Δp, the candidate's probability of the true token less the reference's.
    pub mean_delta_p: Estimate,
    /// Root of the mean square of Δp.
    pub rms_delta_p: Estimate,
    /// Quantiles of Δp: 1 %, 5 %, 25 %, 50 %, 75 %, 95 % and 99 %.
    pub delta_p: [f64; 7],
    /// Mean mass of the reference outside the tokens whose probabilities were kept one by one; 0 if all were.
    pub tail_mass: f64,
}

const DELTA_P: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

impl Measures {
    /// `None` for fewer positions than an interval needs. `alpha` is the error probability of each interval.
    pub(super) fn new(positions: &[Measure], alpha: f64, seed: u64) -> Option<Self> {
        let bootstrap = Bootstrap::new(positions.len(), alpha, seed)?;
        let series = |of: fn(&Measure) -> f64| -> Vec<f64> { positions.iter().map(of).collect() };
        let kl = series(|position| position.kl);
        let kl_sorted = sorted(&kl);
        let delta_p = series(Measure::delta_p);
        let delta_p_sorted = sorted(&delta_p);
        Some(Self {
            tokens: positions.len(),
            reference_perplexity: bootstrap.mean(&series(|position| position.reference_nll)).map(f64::exp),
            candidate_perplexity: bootstrap.mean(&series(|position| position.candidate_nll)).map(f64::exp),
            ln_perplexity_ratio: bootstrap
                .mean(&series(|position| position.candidate_nll - position.reference_nll)),
            mean_kl: bootstrap.mean(&kl).map(|kl| kl.max(0.0)),
            p99_kl: bootstrap.quantile(&kl, 0.99),
            median_kl: quantile(&kl_sorted, 0.5),
            max_kl: quantile(&kl_sorted, 1.0),
            same_top: bootstrap.share(positions.iter().map(|position| position.same_top)),
            mean_delta_p: bootstrap.mean(&delta_p),
            rms_delta_p: bootstrap
                .mean(&series(|position| position.delta_p().powi(2)))
                .map(|square| square.max(0.0).sqrt()),
            delta_p: DELTA_P.map(|level| quantile(&delta_p_sorted, level)),
            tail_mass: mean(&series(|position| position.tail)),
        })
    }

    /// Compares every interval with its limit.
    pub(super) fn judge(&self, limits: &Limits) -> Verdict {
        let sample = (self.tokens, "scored tokens");
        let verdicts: [Verdict; LIMITS] = [
            Verdict::at_most("mean KL divergence", self.mean_kl, limits.max_mean_kl, sample),
            Verdict::at_most("99 % quantile of the KL divergence", self.p99_kl, limits.max_p99_kl, sample),
            Verdict::at_most(
                "ln of the perplexity ratio",
                self.ln_perplexity_ratio,
                limits.max_ln_perplexity_ratio,
                sample,
            ),
            Verdict::at_least("share of the same top token", self.same_top, limits.min_same_top, sample),
        ];
        verdicts.into_iter().fold(Verdict::Pass, Verdict::and)
    }
}

fn sorted(series: &[f64]) -> Vec<f64> {
    let mut sorted = series.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().flatten() {
            writeln!(f, "- {finding}")?;
        }
        if let Some(measures) = &self.measures {
            self.table(measures, f)?;
        }
        if let Some(behaviour) = &self.behaviour {
            writeln!(f, "{behaviour}")?;
        }
        write!(f, "{}", self.verdict)
    }
}

impl Report {
    fn table(&self, measures: &Measures, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let confidence = format!("{} % interval", self.confidence * 100.0);
        writeln!(f, "{:<24}{:>10}   {confidence:<20}limit", "", "measured")?;
        let limits = &self.limits;
        row(f, "mean KL", measures.mean_kl, ("at most", limits.max_mean_kl))?;
        row(f, "99 % KL", measures.p99_kl, ("at most", limits.max_p99_kl))?;
        row(
            f,
            "ln perplexity ratio",
            measures.ln_perplexity_ratio,
            ("at most", limits.max_ln_perplexity_ratio),
        )?;
        row(f, "same top token", measures.same_top, ("at least", limits.min_same_top))?;
        writeln!(
            f,
            "{:<24}{:>10.4}   reference {:.4}",
            "perplexity", measures.candidate_perplexity.value, measures.reference_perplexity.value
        )?;
        writeln!(f, "{:<24}{:>10.4}   highest {:.4}", "median KL", measures.median_kl, measures.max_kl)?;
        let [low, .., high] = measures.delta_p.map(|delta| delta * 100.0);
        writeln!(
            f,
            "{:<24}{:>8.3} %   mean {:.3} %, 1 % and 99 % quantile {low:.2} % and {high:.2} %",
            "Δp of the true token",
            measures.rms_delta_p.value * 100.0,
            measures.mean_delta_p.value * 100.0
        )?;
        let (windows, planned) = (self.windows, self.windows_planned);
        writeln!(f, "{} tokens scored in {windows} of {planned} windows", measures.tokens)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, estimate: Estimate, limit: (&str, f64)) -> fmt::Result {
    let interval = format!("{:.5} to {:.5}", estimate.low, estimate.high);
    writeln!(f, "{name:<24}{:>10.5}   {interval:<20}{} {}", estimate.value, limit.0, limit.1)
}
