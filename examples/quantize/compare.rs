//! `quantize compare`: whether one model may take the place of another.
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::gate::{Gate, Kinship, Limits};
use aic::quant::{ModelOptions, open};
use clap::ValueEnum;

use crate::{Done, show};

/// Judge whether a smaller model may take the place of the one it was made of; fails unless it may
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model it was made of
    reference: PathBuf,
    /// The smaller one
    candidate: PathBuf,
    /// Text the models were not tuned on, some thousands of words
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// How much may be lost
    #[arg(long, value_enum, default_value_t)]
    level: Level,
    /// The smaller one was pruned or distilled, so that its numbers are others altogether
    #[arg(long)]
    reworked: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Level {
    /// What Q8_0 and Q6_K keep
    NearLossless,
    /// What Q4_K_M keeps
    #[default]
    Balanced,
    /// What Q3_K_M keeps
    Small,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let path = arguments.text.display();
    let text =
        fs::read_to_string(&arguments.text).map_err(|error| format!("cannot read `{path}`: {error}"))?;
    let limits = match arguments.level {
        Level::NearLossless => Limits::near_lossless(),
        Level::Balanced => Limits::balanced(),
        Level::Small => Limits::small(),
    };
    let bar = show::step_bar(arguments.json, "windows");
    let told = bar.clone();
    let kinship = if arguments.reworked { Kinship::Reworked } else { Kinship::Rounded };
    let gate = Gate::new(text).limits(limits).kinship(kinship).on_progress(move |progress| {
        told.set_length(progress.windows_planned as u64);
        told.set_position(progress.windows as u64);
        ControlFlow::Continue(())
    });
    let (reference, candidate) = (open(&arguments.reference)?, open(&arguments.candidate)?);
    let report = gate.judge(reference.as_ref(), candidate.as_ref(), &ModelOptions::new());
    bar.finish_and_clear();
    let report = report?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.verdict.is_pass() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
