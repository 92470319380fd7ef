//! `quantize prune`: a model with weights, heads, channels or layers taken out.
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use aic::quant::prune::{Method, Pattern, Pruned, Saliency};
use aic::quant::{Calibration, ModelOptions, Plan, Quantizer, TensorSource, open};
use clap::{ArgGroup, ValueEnum};

use crate::{Done, imatrix, show};

/// Take weights, heads, channels or layers out of a model
#[derive(clap::Args)]
#[command(group(ArgGroup::new("what").required(true).args(["weights", "n_of_m", "heads", "channels", "layers"])))]
pub(crate) struct Arguments {
    input: PathBuf,
    output: PathBuf,
    /// Set this share of each row's weights to zero, 0 to 1; the file keeps its size until it is compressed
    #[arg(long, value_name = "SHARE")]
    weights: Option<f64>,
    /// Set all but N of every M weights to zero, such as 2:4
    #[arg(long, value_name = "N:M")]
    n_of_m: Option<String>,
    /// Keep this many key-value heads of each layer
    #[arg(long, value_name = "KEPT")]
    heads: Option<usize>,
    /// Keep this many channels of each feed-forward network
    #[arg(long, value_name = "KEPT")]
    channels: Option<usize>,
    /// Take out this many layers, those that change least (needs --text)
    #[arg(long, value_name = "COUNT", requires = "text")]
    layers: Option<usize>,
    /// What makes a weight matter: its size, or its size and what it meets (needs --text)
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Text as the model will meet it
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum By {
    #[default]
    Magnitude,
    Wanda,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let source = open(&arguments.input)?;
    let text = arguments.text.as_deref();
    let importance = match (arguments.by, text) {
        (By::Magnitude, _) => None,
        (By::Wanda, None) => return Err("--by wanda needs --text".into()),
        (By::Wanda, Some(text)) => {
            Some(imatrix::calibrate(&ModelOptions::new().load(source.as_ref())?, text)?)
        }
    };
    let saliency = importance.as_ref().map_or(Saliency::Magnitude, Saliency::Wanda);
    let method = method(arguments, source.as_ref(), saliency)?;
    let pruned = Pruned::new(source.as_ref(), &method)?;
    println!("{}", pruned.report()?);
    let bar = show::byte_bar(false);
    let plan = Plan::keep(&pruned)?;
    Quantizer::new(&plan).run(&pruned, &arguments.output, |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    println!("{} is {}", arguments.output.display(), show::size(show::file_bytes(&arguments.output)));
    println!(
        "measure what was lost: quantize compare {} {} --reworked --text FILE",
        arguments.input.display(),
        arguments.output.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn method<'a>(
    arguments: &Arguments,
    source: &dyn TensorSource,
    saliency: Saliency<'a>,
) -> Result<Method<'a>, Box<dyn std::error::Error>> {
    if let Some(share) = arguments.weights {
        return Ok(Method::Weights { saliency, pattern: Pattern::Rows { share } });
    }
    if let Some(pattern) = &arguments.n_of_m {
        let (keep, of) = pattern.split_once(':').ok_or("--n-of-m is written as 2:4")?;
        return Ok(Method::Weights {
            saliency,
            pattern: Pattern::Groups { keep: keep.parse()?, of: of.parse()? },
        });
    }
    if let Some(keep) = arguments.heads {
        return Ok(Method::Heads { saliency, keep });
    }
    if let Some(keep) = arguments.channels {
        return Ok(Method::Channels { saliency, keep });
    }
    let (count, text) = arguments.layers.zip(arguments.text.as_ref()).ok_or("--layers needs --text")?;
    let model = ModelOptions::new().load(source)?;
    let tokens = model.tokenize(&std::fs::read_to_string(text)?)?;
    let window = 512.min(model.max_context()).min(tokens.len());
    let influence =
        Calibration::new(&model).window(window).influence(&tokens, |_| ControlFlow::Continue(()))?;
    Ok(Method::least_influential(&influence, count))
}
