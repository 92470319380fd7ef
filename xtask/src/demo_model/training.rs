//! The training loop: batches of about equal size, warm-up, cosine decay, and a line now and then.

use std::{
    f64::consts::PI,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Result,
    corpus::{self, Kind},
    dice::Dice,
    network::{Architecture, Batch, Network},
    optimizer::Muon,
    rehearsal::{self, Rehearsal},
    tokenizer::{Encoded, Encoder},
};

const LEARNING_RATE: f64 = 6e-3;
const WARM_UP: f64 = 0.04;
const REHEARSALS: usize = 8;

/// What is trained, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) architecture: Architecture,
    pub(crate) steps: usize,
    /// Tokens per step, at least.
    pub(crate) batch_tokens: usize,
    /// Held-out questions of each kind in the exams on the way.
    pub(crate) questions: usize,
    pub(crate) seed: u64,
}

/// A trained network with what it took.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) network: Network,
    pub(crate) tokens: usize,
    pub(crate) time: Duration,
    pub(crate) rehearsal: Rehearsal,
}

/// Trains a network from nothing.
pub(crate) fn train(plan: &Plan, encoder: &Encoder) -> Result<Trained> {
    let mut dice = Dice::new(plan.seed);
    let network = Network::new(plan.architecture, &mut Dice::new(plan.seed ^ 0x5eed))?;
    let mut optimizer = Muon::new(network.matrices(), network.embedding_and_norms())?;
    let exam = rehearsal::exam(encoder, plan.questions, plan.seed)?;
    let mut display = Display::new(plan);
    for step in 0..plan.steps {
        let batch = next_batch(encoder, &mut dice, plan.batch_tokens)?;
        let loss = network.loss(&batch)?;
        optimizer.step(&loss.backward()?, learning_rate(step, plan.steps))?;
        display.advance(step + 1, batch.length, loss.to_scalar()?);
        if (step + 1) % plan.steps.div_ceil(REHEARSALS) == 0 {
            display.line(&rehearsal::rehearse(&network, &exam)?.to_string());
        }
    }
    let rehearsal = rehearsal::rehearse(&network, &exam)?;
    display.line(&rehearsal.to_string());
    Ok(Trained { network, tokens: display.tokens, time: display.start.elapsed(), rehearsal })
}

fn next_batch(encoder: &Encoder, dice: &mut Dice, tokens: usize) -> Result<Batch> {
    let mut texts: Vec<Encoded> = Vec::new();
    let mut length = 0;
    while length < tokens {
        let text = encoder.sample(&corpus::sample(dice))?;
        length += text.ids.len() - 1;
        texts.push(text);
    }
    Ok(Batch::new(&texts)?)
}

/// Rises linearly, then falls along a cosine to nearly nothing.
fn learning_rate(step: usize, steps: usize) -> f64 {
    let done = (step as f64 + 1.0) / steps as f64;
    if done < WARM_UP {
        return LEARNING_RATE * done / WARM_UP;
    }
    let fallen = (done - WARM_UP) / (1.0 - WARM_UP);
    LEARNING_RATE * (0.01 + 0.99 * 0.5 * (1.0 + (PI * fallen).cos()))
}

/// A progress bar on a terminal, plain lines elsewhere.
#[derive(Debug)]
struct Display {
    bar: Option<ProgressBar>,
    name: &'static str,
    steps: usize,
    start: Instant,
    tokens: usize,
    /// The loss, smoothed over about 20 steps.
    loss: Option<f32>,
}

impl Display {
    fn new(plan: &Plan) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}, {eta} left");
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::new(plan.steps as u64).with_prefix(plan.name));
        let bar = bar.map(|bar| style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)));
        Self { bar, name: plan.name, steps: plan.steps, start: Instant::now(), tokens: 0, loss: None }
    }

    fn advance(&mut self, step: usize, tokens: usize, loss: f32) {
        self.tokens += tokens;
        let smooth = self.loss.map_or(loss, |before| 0.95 * before + 0.05 * loss);
        self.loss = Some(smooth);
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = self.tokens as f64 / seconds;
        let message = format!("loss {smooth:.4}, {rate:.0} tokens/s");
        match &self.bar {
            Some(bar) => {
                bar.set_position(step as u64);
                bar.set_message(message);
            }
            None if step.is_multiple_of(20) || step == self.steps => {
                let left = seconds / step as f64 * (self.steps - step) as f64;
                println!("{} step {step}/{}: {message}, {left:.0} s left", self.name, self.steps);
            }
            None => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => println!("{text}"),
        }
    }
}

/// The tokenizer of a seed: learnt from texts of that seed alone.
pub(crate) fn encoder(vocabulary: usize, texts: usize, seed: u64) -> Result<Encoder> {
    let mut dice = Dice::new(seed);
    let texts: Vec<corpus::Sample> = (0..texts).map(|_| corpus::sample(&mut dice)).collect();
    Encoder::train(&texts, vocabulary)
}

/// Examples of each kind that training never shows.
pub(crate) fn held_out(count: usize, seed: u64) -> Vec<corpus::Example> {
    let mut dice = Dice::new(seed ^ 0xe4a7);
    Kind::MIX.iter().flat_map(|(kind, _)| corpus::held_out(*kind, count, &mut dice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rate_rises_then_falls() {
        assert!(learning_rate(0, 1000) < LEARNING_RATE / 10.0);
        assert!(learning_rate(39, 1000) > LEARNING_RATE * 0.99);
        assert!(learning_rate(999, 1000) < LEARNING_RATE * 0.02);
    }

    #[test]
    fn few_steps_lower_the_loss_and_repeat_exactly() {
        let encoder = encoder(384, 300, 1).expect("encoder");
        let architecture = Architecture { layers: 1, feed_forward: 256, vocabulary: encoder.tokens().len() };
        let plan = Plan { name: "test", architecture, steps: 3, batch_tokens: 128, questions: 1, seed: 1 };
        let losses = |steps| {
            let trained = train(&Plan { steps, ..plan }, &encoder).expect("trains");
            trained.rehearsal.perplexity()
        };
        assert!(losses(3) < losses(1));
        assert_eq!(losses(2), losses(2));
    }
}
