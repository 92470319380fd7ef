use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::table::Seconds;
use crate::{Ability, NanoUsd};

/// Why a model may not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The request asks for another model.
    OtherModel,
    /// It is known not to be able to do what the request needs.
    Lacks {
        /// What is needed.
        ability: Ability,
    },
    /// Question and answer do not fit.
    TooLong {
        /// The most tokens the model holds.
        context_tokens: u64,
        /// About how many are needed.
        needed_tokens: u64,
    },
    /// It is not as good as the request demands.
    NotGoodEnough {
        /// Its chance of a good answer.
        quality: f64,
        /// The least that is allowed.
        quality_min: f64,
    },
    /// It is not as quick as the request demands.
    TooSlow {
        /// The 95th percentile of its whole answer.
        p95: Duration,
        /// The most that is allowed.
        latency_p95_max: Duration,
    },
    /// It costs more than the request allows, or nobody knows what it costs.
    TooDear {
        /// What it would cost, where known.
        cost: Option<NanoUsd>,
        /// The most that is allowed.
        cost_max: NanoUsd,
    },
    /// A [`SpendLimit`](crate::SpendLimit) has not enough left for the most it may cost.
    OverBudget {
        /// The most it may cost, where price and length are bounded.
        needed: Option<NanoUsd>,
        /// What is left.
        left: NanoUsd,
    },
    /// It failed too often and is left alone for a while.
    ShutOff {
        /// How long until a probe may go; `None` while it is on its way.
        probe_in: Option<Duration>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherModel => f.write_str("is not the model asked for"),
            Self::Lacks { ability } => write!(f, "cannot {}", doing(*ability)),
            Self::TooLong { context_tokens, needed_tokens } => {
                write!(f, "holds {context_tokens} tokens, and about {needed_tokens} are needed")
            }
            Self::NotGoodEnough { quality, quality_min } => {
                write!(f, "has quality {quality:.2}, and {quality_min:.2} is demanded")
            }
            Self::TooSlow { p95, latency_p95_max } => {
                write!(f, "takes {} (p95), and {} are allowed", Seconds(*p95), Seconds(*latency_p95_max))
            }
            Self::TooDear { cost: Some(cost), cost_max } => {
                write!(f, "costs about {cost}, and {cost_max} is allowed")
            }
            Self::TooDear { cost: None, cost_max } => {
                write!(f, "has no known price, and {cost_max} is allowed")
            }
            Self::OverBudget { needed: Some(needed), left } => {
                write!(f, "may cost {needed}, and {left} are left to spend")
            }
            Self::OverBudget { needed: None, left } => {
                write!(f, "may cost nobody knows how much, and {left} are left to spend")
            }
            Self::ShutOff { probe_in: Some(wait) } => {
                write!(f, "is shut off after failing; probe in {wait:.1?}")
            }
            Self::ShutOff { probe_in: None } => {
                f.write_str("is shut off after failing; a probe is on its way")
            }
        }
    }
}

/// Why a model is tried after the one that is chosen: the first thing in which the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Later {
    /// Its provider comes after in the chain, which is strict, or nothing else tells the two apart.
    Chain,
    /// Its provider asked for a pause.
    Rests {
        /// How long the pause still lasts.
        remaining: Duration,
    },
    /// It is not as good as the priority wants.
    MissesQuality {
        /// Its chance of a good answer.
        quality: f64,
        /// The least that is wanted.
        wanted: f64,
    },
    /// It is not as quick as the priority wants.
    MissesLatency {
        /// The 95th percentile of its whole answer.
        p95: Duration,
        /// The most that is wanted.
        wanted: Duration,
    },
    /// Nobody knows whether it can do what the request needs.
    Unsure {
        /// What is needed.
        ability: Ability,
    },
    /// Nobody knows what it costs.
    PriceUnknown,
    /// It costs more.
    Dearer,
    /// It costs no more, but for what its failures add.
    FailsMore {
        /// The chance that a call fails.
        failing: f64,
    },
    /// It costs as much, and is less good.
    LessGood,
    /// It costs as much, is as good, and takes longer.
    Slower,
}

/// A phrase: `dearer than the first`, `quality 0.45 < 0.68 wanted`.
impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("later in the chain"),
            Self::Rests { remaining } => write!(f, "rests for {}", Seconds(*remaining)),
            Self::MissesQuality { quality, wanted } => {
                write!(f, "quality {quality:.2} < {wanted:.2} wanted")
            }
            Self::MissesLatency { p95, wanted } => {
                write!(f, "p95 {} > {} wanted", Seconds(*p95), Seconds(*wanted))
            }
            Self::Unsure { ability } => write!(f, "perhaps cannot {}", doing(*ability)),
            Self::PriceUnknown => f.write_str("price unknown"),
            Self::Dearer => f.write_str("dearer than the first"),
            Self::FailsMore { failing } => write!(f, "fails more often ({:.0} %)", failing * 100.0),
            Self::LessGood => f.write_str("less good than the first"),
            Self::Slower => f.write_str("slower than the first"),
        }
    }
}

/// An ability as what is done with it.
fn doing(ability: Ability) -> &'static str {
    match ability {
        Ability::Images => "see images",
        Ability::Audio => "hear audio",
        Ability::Tools => "call tools",
        Ability::Structured => "keep to JSON",
        Ability::Reasoning => "be told how hard to think",
        Ability::Sampling => "be told how to sample",
        Ability::Prefill => "go on from a begun answer",
    }
}
