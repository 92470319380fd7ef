//! Trains the demonstration model that lies in `crates/aic/models`, from nothing and on generated text alone.

mod corpus;
mod dice;
mod environment;
mod exam;
mod export;
mod network;
mod ops;
mod optimizer;
mod quantizations;
mod rehearsal;
mod report;
mod tokenizer;
mod training;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use network::Architecture;
use report::Entry;
use tokenizer::Encoder;
use training::Plan;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const VOCABULARY: usize = 1024;
/// How many texts the tokenizer is learnt from.
const TOKENIZER_TEXTS: usize = 20_000;
const TEACHER: Architecture = Architecture { layers: 4, feed_forward: 512, vocabulary: VOCABULARY };
const STUDENT: Architecture = Architecture { layers: 2, feed_forward: 256, vocabulary: VOCABULARY };
const PAGE: &str = "docs/demo-model.md";

/// Trains the demonstration model and its smaller student, examines both and writes docs/demo-model.md.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo-model")]
struct Args {
    /// Training steps of the larger model; the student gets half as many.
    #[arg(long, default_value_t = 1700)]
    steps: usize,
    /// Where the two files go.
    #[arg(long, default_value = "crates/aic/models")]
    out: PathBuf,
    /// What all chance is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only examines this GGUF file, and prints its wrong answers too.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["steps", "out"])]
    check: Option<PathBuf>,
    /// Only measures the model in every type, and puts the table into docs/quantization.md.
    #[arg(long)]
    quantizations: bool,
    /// Only prints this many training texts.
    #[arg(long, value_name = "COUNT")]
    texts: Option<usize>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(count) = args.texts {
        print_texts(count, args.seed);
    } else if let Some(file) = &args.check {
        check(file, args.seed)?;
    } else if args.quantizations {
        quantizations::write(args.seed)?;
    } else if let Some(code) = environment::again_with_settings()? {
        return Ok(code);
    } else {
        make(&args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_texts(count: usize, seed: u64) {
    let mut dice = dice::Dice::new(seed);
    for _ in 0..count {
        println!("{:#?}", corpus::sample(&mut dice));
    }
}

fn check(file: &Path, seed: u64) -> Result<()> {
    let marks = exam::sit(file, seed)?;
    for [question, answer, expected] in &marks.wrong {
        println!("wrong: {question:?}\n  said {answer:?}\n  not  {expected:?}");
    }
    print!("{}", report::table(&marks));
    Ok(())
}

fn make(args: &Args) -> Result<()> {
    let encoder = training::encoder(VOCABULARY, TOKENIZER_TEXTS, args.seed)?;
    std::fs::create_dir_all(&args.out)?;
    let teacher = Plan {
        name: "aic demo",
        architecture: TEACHER,
        steps: args.steps,
        batch_tokens: 2048,
        questions: 20,
        seed: args.seed,
    };
    let student = Plan { name: "aic demo student", architecture: STUDENT, steps: args.steps / 2, ..teacher };
    let entries = [
        make_one(args, &encoder, &teacher, "aic-demo-f16.gguf")?,
        make_one(args, &encoder, &student, "aic-demo-student-f16.gguf")?,
    ];
    let command = format!("cargo xtask demo-model --steps {} --seed {}", args.steps, args.seed);
    std::fs::write(PAGE, report::page(&entries, &command, args.seed))?;
    println!("wrote {PAGE}");
    Ok(())
}

fn make_one(args: &Args, encoder: &Encoder, plan: &Plan, file: &str) -> Result<Entry> {
    let trained = training::train(plan, encoder)?;
    let path = args.out.join(file);
    let size_bytes = export::save(&trained.network, encoder, plan.name, &path)?;
    println!("wrote {} ({size_bytes} bytes)", path.display());
    let marks = exam::sit(&path, args.seed)?;
    print!("{}", report::table(&marks));
    Ok(Entry {
        file: file.to_owned(),
        architecture: plan.architecture,
        size_bytes,
        steps: plan.steps,
        tokens: trained.tokens,
        minutes: trained.time.as_secs_f64() / 60.0,
        answer_perplexity: trained.rehearsal.perplexity(),
        marks,
    })
}
