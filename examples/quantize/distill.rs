//! `quantize distill`: a smaller model that learns from a larger one.
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::distill::Distillation;
use aic::quant::open;

use crate::{Done, show};

/// Train a smaller model to answer as a larger one does
#[derive(clap::Args)]
pub(crate) struct Arguments {
    teacher: PathBuf,
    output: PathBuf,
    /// Texts to learn from, with an empty line between two
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Layers of the student; half of the teacher's if not given
    #[arg(long, conflicts_with = "student")]
    layers: Option<usize>,
    /// A model to train instead, one that was pruned for example
    #[arg(long, value_name = "FILE")]
    student: Option<PathBuf>,
    #[arg(long, default_value_t = 1000)]
    steps: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let path = arguments.text.display();
    let text =
        fs::read_to_string(&arguments.text).map_err(|error| format!("cannot read `{path}`: {error}"))?;
    let teacher = open(&arguments.teacher)?;
    let student = arguments.student.as_deref().map(open).transpose()?;
    let checkpoint = arguments.output.with_extension("checkpoint");
    let mut distillation = Distillation::new(teacher.as_ref())
        .steps(arguments.steps)
        .seed(arguments.seed)
        .checkpoint(&checkpoint);
    if let Some(layers) = arguments.layers {
        distillation = distillation.layers(layers);
    }
    if let Some(student) = &student {
        distillation = distillation.student(student.as_ref());
    }
    let bar = show::step_bar(false, "steps");
    bar.set_length(arguments.steps as u64);
    let distilled = distillation.run(text.split("\n\n"), &arguments.output, |progress| {
        bar.set_position(progress.step as u64);
        bar.set_message(format!("loss {:.3}, {:.0} tokens/s", progress.loss, progress.tokens_per_second));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let distilled = distilled?;
    println!("{} weights, {} steps, {} tokens", distilled.parameters, distilled.steps, distilled.tokens);
    if let (Some(before), Some(best)) = (distilled.before, distilled.best) {
        println!(
            "perplexity on held-out texts: {:.2} before, {:.2} after step {}, the teacher's {:.2}",
            before.perplexity(),
            best.perplexity(),
            distilled.best_step,
            best.teacher_perplexity()
        );
    }
    fs::remove_file(checkpoint).ok();
    Ok(ExitCode::SUCCESS)
}
