use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::checkpoint::{Checkpoint, State};
use super::corpus::{Batch, Corpus, Order, cut};
use super::distillation::Settings;
use super::export::Export;
use super::network::Network;
use super::objective::{angle, cross_entropy, divergence};
use super::optimizer::{AdamW, Gradients};
use super::student::{Blueprint, Parameters, normal};
use super::{Distilled, HeldOut, Objective, Progress};
use crate::engine::Config;
use crate::engine::candle::{Weights, compute};
use crate::{Error, TensorSource};

/// Logits that are held at once: 16 MiB, of which training makes about fifteen copies.
const LOGITS_AT_ONCE: usize = 1 << 22;

/// Both networks, what they learn from, and the loop.
pub(super) struct Training<'a> {
    settings: &'a Settings,
    corpus: &'a Corpus,
    device: Device,
    teacher: Network,
    student: Network,
    /// The student's weights in a network that keeps no notes for a gradient.
    measured: Network,
    parameters: Parameters,
    optimizer: AdamW,
    compared: Compared,
    /// How many rows of logits are held at once.
    pub(super) rows_at_once: usize,
}

/// The states that are compared.
pub(super) struct Compared {
    /// Layers of the student.
    student: Vec<usize>,
    /// The teacher's counterpart of each.
    teacher: Vec<usize>,
    /// `[teacher's width, student's width]`, where these differ and states count.
    projection: Option<Var>,
}

/// How long this run has learnt, measuring left out.
#[derive(Default)]
struct Clock {
    learning: Duration,
    steps: usize,
    tokens: u64,
}

impl<'a> Training<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        teacher: &dyn TensorSource,
        blueprint: &Blueprint<'_>,
        corpus: &'a Corpus,
        device: Device,
    ) -> crate::Result<Self> {
        let config = Config::new(teacher)?;
        let parameters = blueprint.parameters(settings.seed, &device)?;
        let student = Network::load(&blueprint.config, &mut parameters.tracked(), &device)?;
        let measured = Network::load(&blueprint.config, &mut parameters.detached(), &device)?;
        let teacher = Network::load(&config, &mut Weights::new(teacher, &device, None, None), &device)?;
        let compared = Compared::new(settings, blueprint, &config, &device).map_err(failed)?;
        let projection = compared.projection.iter().map(|matrix| ("projection".to_owned(), matrix.clone()));
        let trained = parameters.all.iter().cloned().chain(projection);
        let optimizer = AdamW::new(trained).map_err(failed)?;
        let rows_at_once = (LOGITS_AT_ONCE / config.vocabulary).max(1);
        Ok(Self {
            settings,
            corpus,
            device,
            teacher,
            student,
            measured,
            parameters,
            optimizer,
            compared,
            rows_at_once,
        })
    }

    pub(super) fn run(
        mut self,
        export: &Export<'_>,
        checkpoint: Option<&Checkpoint>,
        mut on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> crate::Result<Distilled> {
        let started = Instant::now();
        let mut state = self.start(export, checkpoint)?;
        let mut order = Order::new(&self.corpus.training, self.settings.batch_tokens, self.settings.seed);
        order.by_ref().take(state.step * self.settings.accumulate).for_each(drop);
        let mut clock = Clock::default();
        let mut finished = true;
        while finished && state.step < self.settings.steps {
            let (began, before) = (Instant::now(), state.tokens);
            let loss = self.learn(&mut order, &mut state)?;
            clock.add(began.elapsed(), state.tokens - before);
            let held_out = self.look_after(&mut state, export, checkpoint)?;
            let progress = self.progress(&state, loss, &clock, held_out);
            if on_progress(&progress).is_break() && state.step < self.settings.steps {
                finished = false;
                checkpoint.map_or(Ok(()), |checkpoint| checkpoint.save(&self.optimizer, &state))?;
            }
        }
        if finished {
            checkpoint.map_or(Ok(()), Checkpoint::remove)?;
        }
        Ok(self.report(&state, finished, started.elapsed()))
    }

    /// The state to begin with: that of the checkpoint, or the untrained student, which is written.
    fn start(&mut self, export: &Export<'_>, checkpoint: Option<&Checkpoint>) -> crate::Result<State> {
        let saved = checkpoint.map(|checkpoint| checkpoint.load(&mut self.optimizer)).transpose()?.flatten();
        match saved {
            Some(state) if export.exists() => Ok(state),
            // The best student so far is gone: the next one that is measured takes its place.
            Some(state) => Ok(State { best: None, ..state }),
            None => {
                let held_out = self.measure().map_err(failed)?;
                export.save(&self.parameters)?;
                Ok(State { before: held_out, best: held_out, ..State::default() })
            }
        }
    }

    /// One step: batches, their gradients, the optimizer. Returns the loss.
    fn learn(&mut self, order: &mut Order<'_>, state: &mut State) -> crate::Result<f64> {
        let mut gradients = Gradients::default();
        let mut loss = 0.0;
        for windows in order.take(self.settings.accumulate) {
            let batch = self.batch(&self.corpus.training, &windows).map_err(failed)?;
            loss += self.gather(&batch, &mut gradients).map_err(failed)?;
            state.tokens += batch.tokens as u64;
        }
        let length = gradients.length().map_err(failed)?;
        let learning_rate = self.settings.schedule().at(state.step);
        state.step += 1;
        if !(loss.is_finite() && length.is_finite()) {
            return Err(Error::Diverged { step: state.step, loss, learning_rate });
        }
        self.optimizer.step(&gradients, length, learning_rate).map_err(failed)?;
        Ok(loss)
    }

    /// Adds the gradients of a batch's weighted loss, the mean over its tokens, and returns that loss.
    pub(super) fn gather(&self, batch: &Batch, gradients: &mut Gradients) -> Result<f64> {
        let objective = self.settings.objective.scaled(1.0 / self.settings.accumulate as f64);
        let states = batch.predicting(&self.student.states(&batch.ids, &self.compared.student)?)?;
        let teacher = match objective.asks_the_teacher() {
            true => batch.predicting(&self.teacher.states(&batch.ids, &self.compared.teacher)?)?,
            false => Vec::new(),
        };
        let (mut loss, mut rest) = (0.0, Vec::new());
        if objective.counts_logits() {
            let last = &states[states.len() - 1];
            let (head, slope) =
                self.gather_head(objective, last, teacher.last(), &batch.targets, gradients)?;
            loss += head;
            // Not a loss, but it has the gradient of one: that of the logits' loss, by way of the states.
            rest.push((last * slope)?.sum_all()?);
        }
        if objective.hidden > 0.0 {
            let angle = (self.compared.angle(&states, &teacher)? * objective.hidden)?;
            loss += number(&angle)?;
            rest.push(angle);
        }
        self.optimizer.gather(&Tensor::stack(&rest, 0)?.sum_all()?, gradients)?;
        Ok(loss)
    }

    /// The part of [`gather`](Self::gather) from the last states to the loss, a few rows at a time: logits are by far the
    /// largest intermediate results. Returns the loss and its gradient in the states.
    fn gather_head(
        &self,
        objective: Objective,
        states: &Tensor,
        teacher: Option<&Tensor>,
        targets: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<(f64, Tensor)> {
        let (mut loss, mut slopes) = (0.0, Vec::new());
        for rows in self.portions(states)? {
            let share = objective.scaled(rows.len() as f64 / states.dim(0)? as f64);
            let of_rows = |tensor: &Tensor| tensor.narrow(0, rows.start, rows.len())?.contiguous();
            let leaf = Var::from_tensor(&of_rows(states)?.detach())?;
            let logits = self.student.logits(&leaf)?;
            let mut parts = Vec::new();
            if share.text > 0.0 {
                parts.push((cross_entropy(&logits, &of_rows(targets)?)? * share.text)?);
            }
            if let Some(teacher) = teacher.filter(|_| share.logits > 0.0) {
                let wanted = self.teacher.logits(&of_rows(teacher)?)?;
                parts.push((divergence(&logits, &wanted, self.settings.temperature)? * share.logits)?);
            }
            let part = Tensor::stack(&parts, 0)?.sum_all()?;
            loss += number(&part)?;
            slopes.extend(self.optimizer.gather(&part, gradients)?.remove(&leaf));
        }
        Ok((loss, Tensor::cat(&slopes, 0)?.detach()))
    }

    /// The rows of `states` in portions whose logits are held at once.
    fn portions(&self, states: &Tensor) -> Result<impl Iterator<Item = Range<usize>> + use<>> {
        let (rows, step) = (states.dim(0)?, self.rows_at_once);
        Ok((0..rows).step_by(step).map(move |start| start..rows.min(start + step)))
    }

    /// After a step: measures now and then, and keeps what is best.
    fn look_after(
        &self,
        state: &mut State,
        export: &Export<'_>,
        checkpoint: Option<&Checkpoint>,
    ) -> crate::Result<Option<HeldOut>> {
        let last = state.step == self.settings.steps;
        if !last && !state.step.is_multiple_of(self.settings.measure_every) {
            return Ok(None);
        }
        let held_out = self.measure().map_err(failed)?;
        if self.is_better(held_out, state.best) {
            export.save(&self.parameters)?;
            state.best = held_out;
            state.best_step = state.step;
        }
        if !last {
            checkpoint.map_or(Ok(()), |checkpoint| checkpoint.save(&self.optimizer, state))?;
        }
        tracing::debug!(step = state.step, held_out = ?held_out, "measured the student");
        Ok(held_out)
    }

    /// Without anything to measure with, the latest is taken for the best.
    fn is_better(&self, held_out: Option<HeldOut>, best: Option<HeldOut>) -> bool {
        let judge = |held_out: HeldOut| self.settings.objective.judge(held_out.loss, held_out.divergence);
        match (held_out, best) {
            (Some(held_out), Some(best)) => judge(held_out) < judge(best),
            _ => true,
        }
    }

    /// The student on the held-out windows.
    fn measure(&self) -> Result<Option<HeldOut>> {
        let windows = &self.corpus.held_out;
        let all: Vec<usize> = (0..windows.len()).collect();
        let (mut sums, mut tokens) = ([0.0; 3], 0);
        for batch in cut(windows, &all, self.settings.batch_tokens) {
            let batch = self.batch(windows, &batch)?;
            for (sum, of_batch) in sums.iter_mut().zip(self.measure_batch(&batch)?) {
                *sum += of_batch;
            }
            tokens += batch.tokens;
        }
        let means = sums.map(|sum| sum / tokens as f64);
        Ok((tokens > 0).then(|| HeldOut { loss: means[0], teacher_loss: means[1], divergence: means[2] }))
    }

    /// The sums of the three measures over a batch's tokens.
    fn measure_batch(&self, batch: &Batch) -> Result<[f64; 3]> {
        let last = |network: &Network, layers: &[usize]| {
            Ok::<_, candle_core::Error>(
                batch.predicting(&network.states(&batch.ids, &layers[layers.len() - 1..])?)?.remove(0),
            )
        };
        let student = last(&self.measured, &self.compared.student)?;
        let teacher = last(&self.teacher, &self.compared.teacher)?;
        let mut sums = [0.0; 3];
        for rows in self.portions(&student)? {
            let of_rows = |tensor: &Tensor| tensor.narrow(0, rows.start, rows.len());
            let student = self.measured.logits(&of_rows(&student)?)?;
            let teacher = self.teacher.logits(&of_rows(&teacher)?)?;
            let targets = of_rows(&batch.targets)?;
            let means = [
                cross_entropy(&student, &targets)?,
                cross_entropy(&teacher, &targets)?,
                divergence(&student, &teacher, 1.0)?,
            ];
            for (sum, mean) in sums.iter_mut().zip(means) {
                *sum += number(&mean)? * rows.len() as f64;
            }
        }
        Ok(sums)
    }

    #[cfg(test)]
    pub(super) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    fn batch(&self, windows: &[Vec<u32>], chosen: &[usize]) -> Result<Batch> {
        let chosen: Vec<&[u32]> = chosen.iter().map(|index| windows[*index].as_slice()).collect();
        Batch::new(&chosen, &self.device)
    }

    fn progress(&self, state: &State, loss: f64, clock: &Clock, held_out: Option<HeldOut>) -> Progress {
        let left = self.settings.steps - state.step;
        Progress {
            step: state.step,
            steps: self.settings.steps,
            loss,
            learning_rate: self.settings.schedule().at(state.step - 1),
            tokens_per_second: clock.tokens as f64 / clock.learning.as_secs_f64(),
            time_left: clock.learning.mul_f64(left as f64 / clock.steps as f64),
            held_out,
        }
    }

    fn report(&self, state: &State, finished: bool, elapsed: Duration) -> Distilled {
        Distilled {
            steps: state.step,
            finished,
            tokens: state.tokens,
            parameters: self.parameters.count(),
            before: state.before,
            best: state.best,
            best_step: state.best_step,
            elapsed,
        }
    }
}

impl Compared {
    fn new(
        settings: &Settings,
        blueprint: &Blueprint<'_>,
        teacher: &Config,
        device: &Device,
    ) -> Result<Self> {
        let (layers, widths) = (blueprint.config.layers, (teacher.hidden, blueprint.config.hidden));
        if settings.objective.hidden == 0.0 {
            // The last states are needed all the same: logits come from them.
            return Ok(Self {
                student: vec![layers - 1],
                teacher: vec![teacher.layers - 1],
                projection: None,
            });
        }
        let projection =
            (widths.0 != widths.1).then(|| projection(widths, settings.seed, device)).transpose()?;
        let counterparts = blueprint.counterparts(teacher.layers);
        Ok(Self { student: (0..layers).collect(), teacher: counterparts, projection })
    }

    /// The mean over the layers that are compared.
    fn angle(&self, student: &[Tensor], teacher: &[Tensor]) -> Result<Tensor> {
        let angles = student.iter().zip(teacher).map(|(student, teacher)| match &self.projection {
            Some(matrix) => angle(&student.matmul(&matrix.t()?)?, teacher),
            None => angle(student, teacher),
        });
        Tensor::stack(&angles.collect::<Result<Vec<_>>>()?, 0)?.mean_all()
    }
}

fn projection(shape: (usize, usize), seed: u64, device: &Device) -> Result<Var> {
    // Another stream than that of the weights.
    let mut random = StdRng::seed_from_u64(seed ^ 0x7072_6f6a);
    let deviation = 1.0 / (shape.1 as f64).sqrt();
    let values = (0..shape.0 * shape.1).map(|_| (normal(&mut random) * deviation) as f32).collect();
    Var::from_vec(values, shape, device)
}

impl Clock {
    fn add(&mut self, learning: Duration, tokens: u64) {
        self.learning += learning;
        self.steps += 1;
        self.tokens += tokens;
    }
}

fn number(scalar: &Tensor) -> Result<f64> {
    Ok(f64::from(scalar.to_scalar::<f32>()?))
}

fn failed(error: candle_core::Error) -> Error {
    compute("training the student")(error)
}
