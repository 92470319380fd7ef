//! The trainer's own exam: with the right answer so far before it, would the network write each next token of it?
//!
//! For answers that must match exactly this equals writing them greedily, at the price of one pass.

use std::fmt;

use candle_core::D;

use crate::{
    Result,
    corpus::{Grade, Kind},
    network::{Batch, Network},
    tokenizer::{Encoded, Encoder},
    training,
};

/// Held-out questions with their answers.
pub(crate) type Exam = Vec<(Kind, Grade, Encoded)>;

pub(crate) fn exam(encoder: &Encoder, questions: usize, seed: u64) -> Result<Exam> {
    let examples = training::held_out(questions, seed);
    examples
        .into_iter()
        .map(|example| Ok((example.kind, example.grade.clone(), encoder.exam(&example)?)))
        .collect()
}

/// How one kind did.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    kind: Kind,
    asked: usize,
    right: usize,
    loss: f64,
    tokens: usize,
}

/// How all kinds did.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal(Vec<Outcome>);

impl Rehearsal {
    /// Perplexity of the held-out answers per token.
    pub(crate) fn perplexity(&self) -> f64 {
        let (loss, tokens) =
            self.0.iter().fold((0.0, 0), |(loss, tokens), kind| (loss + kind.loss, tokens + kind.tokens));
        (loss / tokens.max(1) as f64).exp()
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  held out: perplexity {:.3}", self.perplexity())?;
        for Outcome { kind, asked, right, loss, tokens } in &self.0 {
            if *asked > 0 {
                write!(f, ", {} {right}/{asked}", kind.name())?;
            } else {
                write!(f, ", {} perplexity {:.2}", kind.name(), (loss / *tokens as f64).exp())?;
            }
        }
        Ok(())
    }
}

pub(crate) fn rehearse(network: &Network, exam: &Exam) -> Result<Rehearsal> {
    let results =
        Kind::MIX.iter().map(|(kind, _)| rehearse_kind(network, exam, *kind)).collect::<Result<_>>()?;
    Ok(Rehearsal(results))
}

fn rehearse_kind(network: &Network, exam: &Exam, kind: Kind) -> Result<Outcome> {
    let mine = || exam.iter().filter(|(of, ..)| *of == kind);
    let texts: Vec<Encoded> = mine().map(|(.., text)| text.clone()).collect();
    let batch = Batch::new(&texts)?;
    let logits = network.logits(&batch)?.detach();
    let losses = batch.loss.losses(&logits.flatten_all()?.to_vec1()?);
    let written: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
    let (mut at, mut right) = (0, 0);
    for text in &texts {
        let places = at..at + text.ids.len() - 1;
        right += usize::from(
            places.clone().all(|i| batch.loss.weights[i] == 0.0 || written[i] == batch.loss.targets[i]),
        );
        at = places.end;
    }
    Ok(Outcome {
        kind,
        asked: mine().filter(|(_, grade, _)| *grade == Grade::Exact).count(),
        right,
        loss: losses.iter().map(|loss| f64::from(*loss)).sum(),
        tokens: batch.loss.weights.iter().filter(|weight| **weight > 0.0).count(),
    })
}
