//! The demonstration model in every type: what each costs, as a table for docs/quantization.md.

use std::{
    fmt::Write as _,
    fs,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use aic_quant::{
    Calibration, GenerateOptions, Importance, Message, Mix, Model, Plan, Quantizer, Recipe, gguf, mean_kl,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Result,
    corpus::{self, Example, Sample},
    dice::Dice,
    exam, tokenizer, training,
};

const MODEL: &str = "crates/aic/models/aic-demo-f16.gguf";
const PAGE: &str = "docs/quantization.md";
/// Between these two lines of the page stands the table.
const BEGIN: &str = "<!-- Written by `cargo xtask quantizations`: -->";
const FINISH: &str = "<!-- to here. -->";

/// What the rows are made of. `*` marks those that an importance matrix helps, and `dynamic` the measured mix.
const ROWS: [&str; 22] = [
    "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_k_m", "q5_1", "q5_0", "q4_k", "q4_k*", "q4_k_m", "q4_k_m*",
    "dynamic", "q4_1", "q4_0", "q4_0*", "iq4_nl", "iq4_nl*", "q3_k", "q3_k*", "q2_k", "q2_k*",
];

/// Held-out questions of each kind whose answers are compared token by token.
const COMPARED: usize = 12;
/// Conversations of the training distribution that importance and mix are measured on.
const CALIBRATED: usize = 120;
/// Tokens of the mix's text; each run of the model reads them.
const MIX_TOKENS: usize = 512;

struct Row {
    name: String,
    bytes: u64,
    bits: f64,
    perplexity: f64,
    divergence: f64,
    same: f64,
    right: f64,
    speed: f64,
}

/// Makes every row and puts the table into the page.
pub(crate) fn write(seed: u64) -> Result<()> {
    let source = gguf::File::open(MODEL)?;
    let reference = Model::open(MODEL)?;
    let texts: Vec<Vec<u32>> =
        held_out(seed).iter().map(|text| reference.tokenize(text)).collect::<aic_quant::Result<_>>()?;
    let expected = texts.iter().map(|text| logits(&reference, text)).collect::<Result<Vec<_>>>()?;
    let calibration = reference.tokenize(&calibration(seed))?;
    let importance = importance(&reference, &calibration)?;
    let folder = tempfile::tempdir()?;
    let bar = ProgressBar::new(ROWS.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40.cyan/blue} {pos}/{len} {msg}, {eta} left")?);
    let mut rows = Vec::new();
    for name in ROWS {
        bar.set_message(name);
        let weighed = name.ends_with('*').then_some(&importance);
        let plan = plan(name.trim_end_matches('*'), &source, &reference, &calibration, weighed)?;
        let file = folder.path().join("model.gguf");
        let quantizer = Quantizer::new(&plan);
        let quantizer = weighed.into_iter().fold(quantizer, Quantizer::importance);
        let report = quantizer.run(&source, &file, |_| ControlFlow::Continue(()))?;
        let (bytes, bits) = (report.file_bytes, report.bits_per_weight());
        rows.push(measure(name, &file, (bytes, bits), (&texts, &expected), seed)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    replace(&table(&rows))?;
    println!("wrote the table in {PAGE}");
    Ok(())
}

/// Questions with their right answers, in the model's own form, none of which it was trained on.
fn held_out(seed: u64) -> Vec<String> {
    let examples = training::held_out(COMPARED, seed);
    examples.iter().map(turn).collect()
}

fn turn(example: &Example) -> String {
    tokenizer::question(example) + &tokenizer::answer(example)
}

/// Conversations like those of training, from another seed.
fn calibration(seed: u64) -> String {
    let mut dice = Dice::new(seed ^ 0x00ca_11b8);
    let mut text = String::new();
    for _ in 0..CALIBRATED {
        match corpus::sample(&mut dice) {
            Sample::Text(story) => text.push_str(&story),
            Sample::Chat { turns, .. } => text.extend(turns.iter().map(turn)),
        }
    }
    text
}

fn importance(model: &Model, tokens: &[u32]) -> Result<Importance> {
    let mut importance = Importance::new();
    Calibration::new(model).importance(tokens, &mut importance, |_| ControlFlow::Continue(()))?;
    Ok(importance)
}

fn plan(
    name: &str,
    source: &gguf::File,
    reference: &Model,
    calibration: &[u32],
    importance: Option<&Importance>,
) -> Result<Plan> {
    let usual = |name: &str| name.parse::<Recipe>()?.plan(source, importance);
    if name != "dynamic" {
        return Ok(usual(name)?);
    }
    let budget = format!("{}b", usual("q4_k_m")?.bytes()).parse()?;
    let tokens = &calibration[..MIX_TOKENS.min(calibration.len())];
    Ok(Mix::new(source, budget).measure(source.tensors().len(), mean_kl(reference, tokens)?).run()?.plan)
}

/// What the model predicts after each token.
fn logits(model: &Model, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::with_capacity(tokens.len());
    model.predict(tokens, |_, logits| {
        all.push(logits.to_vec());
        Ok(())
    })?;
    Ok(all)
}

fn measure(
    name: &str,
    file: &Path,
    (bytes, bits): (u64, f64),
    (texts, expected): (&[Vec<u32>], &[Vec<Vec<f32>>]),
    seed: u64,
) -> Result<Row> {
    let model = Model::open(file)?;
    let (mut divergence, mut same, mut surprise, mut count) = (0.0, 0.0, 0.0, 0.0);
    for (text, expected) in texts.iter().zip(expected) {
        model.predict(&text[..text.len() - 1], |position, logits| {
            let (theirs, ours) = (log_softmax(&expected[position]), log_softmax(logits));
            divergence += theirs.iter().zip(&ours).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            same += f64::from(u8::from(likeliest(&theirs) == likeliest(&ours)));
            surprise -= ours[text[position + 1] as usize];
            count += 1.0;
            Ok(())
        })?;
    }
    let marks = exam::sit(file, seed)?;
    Ok(Row {
        name: name.to_owned(),
        bytes,
        bits,
        perplexity: (surprise / count).exp(),
        divergence: divergence / count,
        same: same / count,
        right: marks.accuracy(),
        speed: speed(&model)?,
    })
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
    logits.iter().map(|x| f64::from(x - largest) - sum.ln()).collect()
}

fn likeliest(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]))
}

/// Tokens a second of the best of some answers, the prompt left out.
fn speed(model: &Model) -> Result<f64> {
    let options = GenerateOptions { max_tokens: 64, temperature: 0.0, ..GenerateOptions::default() };
    let started = Instant::now();
    let mut best: f64 = 0.0;
    while started.elapsed() < Duration::from_secs(1) {
        let mut answer = model.generate(&[Message::user("Tell me a story about a fox.")], &options)?;
        answer.text()?;
        best = best.max(answer.timings().tokens_per_second.unwrap_or(0.0));
    }
    Ok(best)
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "\n| to | bytes | bits per weight | perplexity | mean KL, nats | same likeliest token | right answers | tokens/s |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| `{}` | {} | {:.2} | {:.4} | {:.5} | {:.1} % | {:.1} % | {:.0} |",
            row.name,
            row.bytes,
            row.bits,
            row.perplexity,
            row.divergence,
            row.same * 100.0,
            row.right * 100.0,
            row.speed
        );
    }
    out.push('\n');
    out
}

/// Puts the table between its two lines.
fn replace(table: &str) -> Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("the page has lost the line before the table")?;
    let (_, after) = rest.split_once(FINISH).ok_or("the page has lost the line after the table")?;
    fs::write(PAGE, format!("{before}{BEGIN}\n{table}{FINISH}{after}"))?;
    Ok(())
}
