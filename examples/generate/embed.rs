//! `generate embed`: vectors for texts, and how near they are to each other.
use std::path::PathBuf;

use aic::quant::Embedder;

use crate::Done;

/// Print a vector for each text, or how near the texts are to each other
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A model made for embeddings (BERT and its kind), or any other
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[arg(required = true)]
    texts: Vec<String>,
    /// Print the vectors as JSON, one line for each text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let embedder = Embedder::open(&arguments.model)?;
    let texts: Vec<&str> = arguments.texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&texts)?;
    if arguments.json || vectors.len() == 1 {
        for vector in &vectors {
            println!("{}", serde_json::to_string(vector)?);
        }
        return Ok(());
    }
    println!("cosine similarities, {} numbers a vector", vectors[0].len());
    for (vector, text) in vectors.iter().zip(&texts) {
        let row: String = vectors.iter().map(|other| format!("{:>7.3}", dot(vector, other))).collect();
        println!("{row}  {text}");
    }
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
