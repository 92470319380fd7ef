//! Makes a model smaller: `quantize convert IN OUT --to q4_k`, `quantize inspect FILE`, `quantize run FILE "question"`.
//!
//! Try it on the project's own model: `quantize convert crates/aic/models/aic-demo-f16.gguf /tmp/demo-q4.gguf --to int4`.
use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aic::quant::{DType, GenerateOptions, Message, Model, Quantizer, Recipe, Report, TensorInfo, gguf};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Model files: look into them, make them smaller, run them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a GGUF file with its matrices in another type
    Convert {
        input: PathBuf,
        output: PathBuf,
        /// Q8_0 (int8), Q4_K (int4), F16 (fp16), …
        #[arg(long, value_name = "TYPE")]
        to: Recipe,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print what a GGUF file says of itself and its tensors
    Inspect { file: PathBuf },
    /// Answer a question with a model
    Run {
        file: PathBuf,
        question: String,
        /// Quantize while loading
        #[arg(long, value_name = "TYPE")]
        to: Option<DType>,
    },
}

fn main() -> ExitCode {
    sigpipe::reset();
    let done = match Arguments::parse().command {
        Command::Convert { input, output, to, json } => convert(&input, &output, &to, json),
        Command::Inspect { file } => inspect(&file),
        Command::Run { file, question, to } => run(&file, &question, to),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn convert(input: &Path, output: &Path, to: &Recipe, json: bool) -> Result<(), Box<dyn Error>> {
    let source = gguf::File::open(input)?;
    let style = ProgressStyle::with_template(
        "{bar:40.cyan/blue} {percent:>3} %  {binary_bytes_per_sec}, {eta} left  {msg}",
    )?;
    let bar =
        if json { ProgressBar::hidden() } else { ProgressBar::new(source.size_bytes()).with_style(style) };
    let plan = to.plan(&source, None)?;
    let report = Quantizer::new(&plan).resumable().run(&source, output, |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        bar.set_message(progress.tensor.to_owned());
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    if json {
        println!("{}", as_json(&report));
    } else {
        println!("{report}");
    }
    Ok(())
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "seconds": report.elapsed.as_secs_f64(),
        "input_bytes": report.bytes_before,
        "input_bytes_per_second": report.bytes_per_second(),
        "file_bytes": report.file_bytes,
        "bits_per_weight": report.bits_per_weight(),
        "tensors": report.tensors,
    })
}

fn inspect(file: &Path) -> Result<(), Box<dyn Error>> {
    let file = gguf::File::open(file)?;
    let weights: u64 = file.tensors().iter().map(TensorInfo::elements).sum();
    let bytes: u64 = file.tensors().iter().map(|tensor| tensor.bytes).sum();
    println!(
        "GGUF version {}, {} bytes, {weights} weights, {:.2} bits each",
        file.version(),
        file.size_bytes(),
        bytes as f64 * 8.0 / weights.max(1) as f64
    );
    for (key, value) in file.metadata().iter() {
        println!("  {key} = {}", shortened(&value.to_string()));
    }
    for tensor in file.tensors() {
        println!("  {:32} {:6} {:?}", tensor.name, tensor.dtype, tensor.shape);
    }
    Ok(())
}

fn run(file: &Path, question: &str, to: Option<DType>) -> Result<(), Box<dyn Error>> {
    let options = to.into_iter().fold(Model::options(), aic::quant::ModelOptions::dtype);
    let model = options.open(file)?;
    let greedy = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
    let mut answer = model.generate(&[Message::user(question)], &greedy)?;
    for piece in answer.by_ref() {
        print!("{}", piece?.text);
        std::io::stdout().flush()?;
    }
    let rate =
        answer.timings().tokens_per_second.map_or(String::new(), |rate| format!(", {rate:.0} tokens/s"));
    println!("\n[{} tokens{rate}]", answer.usage().output_tokens);
    Ok(())
}

fn shortened(text: &str) -> String {
    let line: String = text.chars().take(90).map(|c| if c == '\n' { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
