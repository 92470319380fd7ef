//! The exam that counts: held-out questions, answered by the project's own engine from the file as it is written.

use std::path::Path;

use aic_quant::{GenerateOptions, Message, Model};

use crate::{
    Result,
    corpus::{self, Example, Kind, Sample},
    dice::Dice,
    tokenizer::END,
    training,
};

const PER_KIND: usize = 50;
const STORIES: usize = 50;

/// One kind's part of the exam.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) asked: usize,
    pub(crate) right: usize,
    /// A question with the answer the model gave.
    pub(crate) sample: (String, String),
}

/// What the model answered.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) sections: Vec<Section>,
    /// Perplexity per token of stories it has not seen, which are partly chance by design.
    pub(crate) story_perplexity: f64,
    /// Wrong answers: question, answer, expected.
    pub(crate) wrong: Vec<[String; 3]>,
}

impl Marks {
    /// Right answers per question, from 0 to 1.
    pub(crate) fn accuracy(&self) -> f64 {
        let asked: usize = self.sections.iter().map(|section| section.asked).sum();
        let right: usize = self.sections.iter().map(|section| section.right).sum();
        right as f64 / asked.max(1) as f64
    }
}

/// Opens the file and asks every held-out question once, greedily.
pub(crate) fn sit(file: &Path, seed: u64) -> Result<Marks> {
    let model = Model::open(file)?;
    let examples = training::held_out(PER_KIND, seed);
    let mut marks =
        Marks { sections: Vec::new(), story_perplexity: stories(&model, seed)?, wrong: Vec::new() };
    for (kind, _) in Kind::MIX {
        let section = examples.iter().filter(|example| example.kind == kind);
        let answers = section
            .map(|example| Ok((example, answer(&model, &example.prompt)?)))
            .collect::<Result<Vec<_>>>()?;
        marks.add(kind, &answers);
    }
    Ok(marks)
}

impl Marks {
    fn add(&mut self, kind: Kind, answers: &[(&Example, String)]) {
        let (right, wrong): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(example, answer)| example.is_right(answer));
        let expected = |(example, answer): &&(&Example, String)| {
            [example.prompt.clone(), answer.clone(), example.answer.clone()]
        };
        self.wrong.extend(wrong.iter().map(expected));
        let sample =
            right.first().or(wrong.first()).map(|(example, answer)| (example.prompt.clone(), answer.clone()));
        self.sections.push(Section {
            kind,
            asked: answers.len(),
            right: right.len(),
            sample: sample.unwrap_or_default(),
        });
    }
}

/// What the model says to a question, without chance.
pub(crate) fn answer(model: &Model, question: &str) -> Result<String> {
    let options = GenerateOptions { max_tokens: 160, temperature: 0.0, ..GenerateOptions::default() };
    Ok(model.generate(&[Message::user(question)], &options)?.text()?)
}

/// Perplexity of stories drawn from a seed that training does not use.
fn stories(model: &Model, seed: u64) -> Result<f64> {
    let mut dice = Dice::new(seed ^ 0x0057_0e1e);
    let (mut loss, mut tokens, mut scored) = (0.0, 0, 0);
    while scored < STORIES {
        if let Sample::Text(text) = corpus::sample(&mut dice) {
            let score = model.score(&format!("{END}{text}{END}"))?;
            loss += score.negative_log_likelihood;
            tokens += score.tokens;
            scored += 1;
        }
    }
    Ok((loss / tokens as f64).exp())
}
