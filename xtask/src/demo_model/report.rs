//! What the training came to, as a table on the terminal and as `docs/demo-model.md`.

use std::fmt::Write;

use crate::{
    corpus::{self, Sample},
    dice::Dice,
    exam::{Marks, Section},
    network::Architecture,
};

/// One trained and examined model.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) architecture: Architecture,
    pub(crate) size_bytes: u64,
    pub(crate) steps: usize,
    pub(crate) tokens: usize,
    pub(crate) minutes: f64,
    pub(crate) answer_perplexity: f64,
    pub(crate) marks: Marks,
}

/// The marks of one file, for the terminal.
pub(crate) fn table(marks: &Marks) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:<16} {:>7} {:>6}  example", "kind", "right", "of");
    for Section { kind, asked, right, sample: (question, answer) } in &marks.sections {
        let _ = writeln!(
            out,
            "{:<16} {right:>7} {asked:>6}  {} -> {}",
            kind.name(),
            one_line(question),
            one_line(answer)
        );
    }
    let _ = writeln!(
        out,
        "all kinds: {:.1} %; stories: perplexity {:.2}",
        100.0 * marks.accuracy(),
        marks.story_perplexity
    );
    out
}

/// The page about the model.
pub(crate) fn page(entries: &[Entry], command: &str, seed: u64) -> String {
    let mut out = String::from(INTRODUCTION);
    files(&mut out, entries);
    out.push_str(TRAINING);
    examples(&mut out, seed);
    figures(&mut out, entries, command);
    out.push_str(LIMITS);
    out
}

fn files(out: &mut String, entries: &[Entry]) {
    out.push_str("\n## The files\n\n| file | weights | layers | feed-forward | vocabulary | size |\n|---|---|---|---|---|---|\n");
    for Entry { file, architecture, size_bytes, .. } in entries {
        let Architecture { layers, feed_forward, vocabulary } = architecture;
        let (weights, size) = (architecture.parameters() as f64 / 1e6, *size_bytes as f64 / 1e6);
        let _ = writeln!(
            out,
            "| `{file}` | {weights:.2} million | {layers} | {feed_forward} | {vocabulary} | {size:.2} MB |"
        );
    }
    let _ = writeln!(
        out,
        "\nBoth are of the architecture `llama`: hidden size {}, {} heads of {} sharing {} key and value heads, rotary positions, \
         RMS norm, SwiGLU, the embedding used as output matrix too, a context of {} tokens. Matrices are F16 with rows that are \
         multiples of 256, so that every quantization, the K-quants included, can be tried on them; norms are F32.",
        Architecture::HIDDEN,
        Architecture::HEADS,
        Architecture::HEAD_WIDTH,
        Architecture::KV_HEADS,
        Architecture::CONTEXT
    );
}

fn examples(out: &mut String, seed: u64) {
    out.push_str("\n| kind | question | answer |\n|---|---|---|\n");
    let mut dice = Dice::new(seed);
    let mut shown = Vec::new();
    while shown.len() < corpus::Kind::MIX.len() {
        let Sample::Chat { turns, .. } = corpus::sample(&mut dice) else { continue };
        for turn in turns {
            if !shown.contains(&turn.kind) {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} |",
                    turn.kind.name(),
                    cell(&turn.prompt),
                    cell(&turn.answer)
                );
                shown.push(turn.kind);
            }
        }
    }
}

fn figures(out: &mut String, entries: &[Entry], command: &str) {
    let _ = writeln!(
        out,
        "\n## What it can do\n\nHeld-out questions, answered greedily by `aic_quant::Model` from the finished file. An answer counts if it \
         equals the expected one character for character; a story counts if it keeps the name and the animal and comes to its end.\n"
    );
    let names: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.file)).collect();
    let _ = writeln!(
        out,
        "| kind | {} | example answer of the first |\n|---|{}---|",
        names.join(" | "),
        "---|".repeat(entries.len())
    );
    for (index, section) in entries[0].marks.sections.iter().enumerate() {
        let scores = entries
            .iter()
            .map(|entry| &entry.marks.sections[index])
            .map(|it| format!("{} of {}", it.right, it.asked));
        let (question, answer) = &section.sample;
        let _ = writeln!(
            out,
            "| {} | {} | {} → {} |",
            section.kind.name(),
            scores.collect::<Vec<_>>().join(" | "),
            cell(question),
            cell(answer)
        );
    }
    let row = |name: &str, value: &dyn Fn(&Entry) -> String| {
        format!("| {name} | {} | |\n", entries.iter().map(value).collect::<Vec<_>>().join(" | "))
    };
    out.push_str(&row("**all kinds**", &|entry| format!("**{:.1} %**", 100.0 * entry.marks.accuracy())));
    out.push_str(&row("perplexity of held-out answers", &|entry| format!("{:.3}", entry.answer_perplexity)));
    out.push_str(&row("perplexity of held-out stories", &|entry| {
        format!("{:.2}", entry.marks.story_perplexity)
    }));
    out.push_str(&row("training steps", &|entry| entry.steps.to_string()));
    out.push_str(&row("training tokens", &|entry| format!("{:.2} million", entry.tokens as f64 / 1e6)));
    out.push_str(&row("training minutes", &|entry| format!("{:.0}", entry.minutes)));
    let _ = writeln!(out, "\nCommand: `{command}`, on {}.", machine());
}

/// The processor's name and number of cores.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("CPU", |(_, name)| name);
    format!("{cores} cores of {name} ({}, {})", std::env::consts::ARCH, std::env::consts::OS)
}

fn one_line(text: &str) -> String {
    text.replace('\n', "⏎")
}

/// Text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    format!("`{}`", one_line(text).replace('|', "\\|").replace('`', "'"))
}

const INTRODUCTION: &str = "\
# The demonstration model

<!-- Written by `cargo xtask demo-model`; change xtask/src/demo_model/report.rs instead. -->

`aic` works without a network, a key or a download because a language model lies in the repository. It is a real one, run by the same \
engine as any other GGUF file, but a very small one: it was trained in minutes, from nothing, on text that a program of this project \
generates. It answers the questions of the examples and of the tests, tells what it has not learnt, and makes visible what \
quantizing, caching and routing do. It is no assistant.

To use another model, give its file: `cargo run --release --bin quickstart -- --model path/to/model.gguf`, or in a program \
`aic_quant::Model::open(\"path/to/model.gguf\")`. Any GGUF file of the architectures the engine reads will do.
";

const TRAINING: &str = "
## How it was made

`cargo xtask demo-model` does all of it; the same seed gives the same text, tokenizer and order of training everywhere, and the same \
weights on processors with the same vector instructions and number of cores.

1. **Text.** Templates and word lists are combined at random: nine kinds of question with their answers, most alone, some in \
conversations of up to three, some after an instruction to the assistant, and a few stories as plain text. Names, cities and things \
come from lists, so what it can copy into an answer are the words on them. One question in ten, chosen by the hash of its text (for arithmetic, of its two \
numbers), is held out and never trained on.
2. **Tokenizer.** Byte-level byte-pair encoding over that text, cut into words and single digits as Qwen 2 does it.
3. **Training.** Batches of about 2000 tokens, every text attending to itself alone. Answers count fully, questions little. Muon moves \
the matrices, AdamW the embedding and the norms; the learning rate rises for 4 % of the steps and falls along a cosine.
4. **File.** GGUF version 3 with tokenizer and chat template inside.

The smaller file is trained in the same way for fewer steps. It is the student when distilling is shown.

Examples of the training text:
";

const LIMITS: &str = "
## What it cannot do

It has seen only the words of its lists and the sentences of its templates. Other facts, other languages and longer texts are out of \
its reach: it mostly says so, but a question that looks like one it knows can get that one's answer, and sums with numbers above 20 come \
out wrong. Its measures say nothing about how a quantization treats a real model: measure that on the model you will use.
";
