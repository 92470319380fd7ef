//! `quantize convert`: a model in smaller numbers.
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::{
    Budget, Importance, Mix, Model, ModelOptions, Plan, Progress, Quantizer, Recipe, Report, TensorSource,
    mean_kl, open,
};
use indicatif::ProgressBar;
use serde_json::json;

use crate::{Done, show};

/// Tokens of the text on which types are measured; each of a hundred runs of the model reads them.
const MEASURED_TOKENS: usize = 1024;
/// Groups of weights whose effect is measured by running the model.
const MEASURED_GROUPS: usize = 48;

/// Write a model as a GGUF file in smaller numbers
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A GGUF file (of a split one, any part), or a Hugging Face folder
    input: PathBuf,
    output: PathBuf,
    /// A type for every matrix (q4_k, q8_0 …), a mixture (q4_k_m …), int8, int4, fp16, or dynamic; rules may follow:
    /// q4_k_m,attn_v=q8_0
    #[arg(long, value_name = "TYPE", required_unless_present = "budget")]
    to: Option<Recipe>,
    /// An importance matrix, from `quantize imatrix` or llama.cpp
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// Take no more than this: 1.2GiB, 900MB, 4.5bpw. If TYPE does not fit, or is not given, types are mixed by measuring
    #[arg(long, value_name = "SIZE")]
    budget: Option<Budget>,
    /// Text in the model's languages on which `--budget` measures; without it, it guesses
    #[arg(long, value_name = "FILE", requires = "budget")]
    text: Option<PathBuf>,
    /// Keep what was measured in this file, and go on from what is in it
    #[arg(long, value_name = "FILE", requires = "budget")]
    front: Option<PathBuf>,
    /// Fail where a tensor cannot have the type it should
    #[arg(long)]
    strict: bool,
    /// Threads to work on; one for each core if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let source = open(&arguments.input)?;
    let importance = arguments.imatrix.as_deref().map(Importance::open).transpose()?;
    let plan = plan(arguments, source.as_ref(), importance.as_ref())?;
    let plan = if arguments.strict { plan.strict()? } else { plan };
    let mut quantizer = Quantizer::new(&plan).resumable();
    if let Some(importance) = &importance {
        quantizer = quantizer.importance(importance);
    }
    if let Some(threads) = arguments.threads {
        quantizer = quantizer.threads(threads);
    }
    let bar = show::byte_bar(arguments.json);
    let report = quantizer.run(source.as_ref(), &arguments.output, |progress| advance(&bar, progress));
    bar.finish_and_clear();
    let report = report?;
    if arguments.json {
        println!("{}", as_json(&report));
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(
    arguments: &Arguments,
    source: &dyn TensorSource,
    importance: Option<&Importance>,
) -> Result<Plan, Box<dyn std::error::Error>> {
    let wanted = arguments.to.as_ref().map(|recipe| recipe.plan(source, importance)).transpose()?;
    let Some(budget) = arguments.budget else {
        return Ok(wanted.ok_or("--to or --budget is needed")?);
    };
    if let Some(plan) = wanted.filter(|plan| plan.bytes() <= budget.bytes(source)) {
        return Ok(plan);
    }
    let bar = show::byte_bar(arguments.json);
    let mut mix = Mix::new(source, budget).on_progress(|progress| advance(&bar, progress));
    if let Some(importance) = importance {
        mix = mix.importance(importance);
    }
    if let Some(front) = &arguments.front {
        mix = mix.front(front);
    }
    if let Some(text) = &arguments.text {
        let model = ModelOptions::new().load(source)?;
        let tokens = tokens(&model, text)?;
        mix = mix.measure(MEASURED_GROUPS, mean_kl(&model, &tokens)?);
    }
    let mixed = mix.run()?;
    bar.finish_and_clear();
    Ok(mixed.plan)
}

fn tokens(model: &Model, text: &PathBuf) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let text =
        fs::read_to_string(text).map_err(|error| format!("cannot read `{}`: {error}", text.display()))?;
    let mut tokens = model.tokenize(&text)?;
    tokens.truncate(MEASURED_TOKENS.min(model.max_context()));
    Ok(tokens)
}

fn advance(bar: &ProgressBar, progress: Progress<'_>) -> ControlFlow<()> {
    bar.set_length(progress.total_bytes);
    bar.set_position(progress.done_bytes);
    bar.set_message(progress.tensor.to_owned());
    ControlFlow::Continue(())
}

fn print(report: &Report) {
    println!(
        "{} to {}, {:.2} bits per weight, in {:.1} s",
        show::size(report.bytes_before),
        show::size(report.bytes_after),
        report.bits_per_weight(),
        report.elapsed.as_secs_f64()
    );
    for share in report.types() {
        println!("  {:8} {:>10} in {} tensors", share.dtype, show::size(share.bytes), share.tensors);
    }
    if report.resumed_bytes > 0 {
        println!("went on from an earlier run that had done {}", show::size(report.resumed_bytes));
    }
    let worst = report.tensors.iter().filter_map(|tensor| Some((tensor.error?, tensor)));
    if let Some((error, tensor)) = worst.max_by(|a, b| a.0.total_cmp(&b.0)) {
        println!("largest error: {:.2} % of the weights of {}, in {}", error * 100.0, tensor.name, tensor.to);
    }
    for tensor in report.substitutions() {
        if let Some(substitution) = tensor.substitution {
            println!(
                "{} is {}, not {}: {}",
                tensor.name, tensor.to, substitution.wanted, substitution.reason
            );
        }
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "seconds": report.elapsed.as_secs_f64(),
        "input_bytes": report.bytes_before,
        "input_bytes_per_second": report.bytes_per_second(),
        "output_bytes": report.file_bytes,
        "bits_per_weight": report.bits_per_weight(),
        "tensors": report.tensors,
    })
}
