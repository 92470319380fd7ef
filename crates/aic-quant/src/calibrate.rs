//! Reading calibration text to learn what matters inside a model.
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::engine::{Observer, Rows};
use crate::{Error, Importance, Model, Result};

/// Tokens of a window unless told otherwise, as llama.cpp has it.
const WINDOW: usize = 512;

/// A model reading calibration text.
///
/// The text is read in windows of equal length that know nothing of each other; what is left at the end and does not
/// fill a window is not read. If the model wants a beginning-of-text token, it takes the place of each window's first
/// token. llama.cpp's `llama-imatrix` reads the same way, and for the same tokens the sums are the same.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use aic_quant::{Calibration, Importance, Model};
///
/// let model = Model::open("model-f16.gguf")?;
/// let tokens = model.tokenize(&std::fs::read_to_string("calibration.txt").unwrap())?;
/// let mut importance = Importance::new();
/// Calibration::new(&model).importance(&tokens, &mut importance, |progress| {
///     eprintln!("{} of {} windows", progress.done_windows, progress.total_windows);
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Calibration<'a> {
    model: &'a Model,
    window: usize,
    first_window: usize,
    output: bool,
}

/// How far calibrating has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalibrationProgress {
    /// Windows read, those skipped by [`Calibration::first_window`] included: where another run goes on.
    pub done_windows: usize,
    /// Windows the text has.
    pub total_windows: usize,
}

impl<'a> Calibration<'a> {
    /// Calibration of `model` with the defaults that each setter states.
    pub fn new(model: &'a Model) -> Self {
        Self { model, window: WINDOW.min(model.max_context()), first_window: 0, output: false }
    }

    /// Tokens of each window. Defaults to 512, or to the model's context if that is shorter.
    pub fn window(mut self, tokens: usize) -> Self {
        self.window = tokens;
        self
    }

    /// The window to start with: those before it are skipped, because an earlier run read them. Defaults to 0.
    pub fn first_window(mut self, index: usize) -> Self {
        self.first_window = index;
        self
    }

    /// Whether the matrix that makes the logits is observed too, under its name: `output.weight`, or `token_embd.weight` in a
    /// model that uses the embedding for both. Defaults to `false`, as llama.cpp has it.
    pub fn output(mut self, output: bool) -> Self {
        self.output = output;
        self
    }

    /// Reads `tokens` and adds what every matrix of every layer was given to `importance`.
    ///
    /// A window is added when it is complete, then `on_progress` is called; if it breaks, the run ends there and what was
    /// added stays: another run with [`first_window`](Self::first_window) goes on, and comes to the same sums.
    ///
    /// # Errors
    /// [`Error::Option`] if the tokens do not fill a window, or a window is empty or longer than the model's context;
    /// [`Error::Tensor`] if the inputs of a matrix are not numbers, or have another length than those already in
    /// `importance`. Nothing of the failed window is added.
    pub fn importance(
        &self,
        tokens: &[u32],
        importance: &mut Importance,
        on_progress: impl FnMut(CalibrationProgress) -> ControlFlow<()>,
    ) -> Result<CalibrationProgress> {
        let read = |window: &[u32]| {
            let mut inputs = Inputs { output: self.output, sums: BTreeMap::new() };
            self.model.observe(window, &mut inputs)?;
            inputs.add_to(importance)
        };
        self.each_window(tokens, read, on_progress)
    }

    /// Reads `tokens` and returns the influence of each layer: 1 − the mean over all tokens of the cosine between the hidden
    /// state before the layer and after it.
    ///
    /// From 0 (the layer only scales) to 2. This is the block influence of [ShortGPT](https://arxiv.org/abs/2403.03853):
    /// [removing](crate::prune::Method::least_influential) those of low influence costs least. If
    /// `on_progress` breaks, the result is that of the windows read so far.
    ///
    /// # Errors
    /// As [`importance`](Self::importance).
    pub fn influence(
        &self,
        tokens: &[u32],
        on_progress: impl FnMut(CalibrationProgress) -> ControlFlow<()>,
    ) -> Result<Vec<f64>> {
        let mut cosines = Cosines::default();
        let read = |window: &[u32]| self.model.observe(window, &mut cosines);
        self.each_window(tokens, read, on_progress)?;
        cosines.influence()
    }

    fn each_window(
        &self,
        tokens: &[u32],
        mut read: impl FnMut(&[u32]) -> Result<()>,
        mut on_progress: impl FnMut(CalibrationProgress) -> ControlFlow<()>,
    ) -> Result<CalibrationProgress> {
        let total_windows = self.check(tokens)?;
        let mut progress = CalibrationProgress { done_windows: self.first_window, total_windows };
        for window in tokens.chunks_exact(self.window).skip(self.first_window) {
            read(&self.begin(window))?;
            progress.done_windows += 1;
            if on_progress(progress).is_break() {
                break;
            }
        }
        Ok(progress)
    }

    /// How many windows there are to read.
    fn check(&self, tokens: &[u32]) -> Result<usize> {
        let wrong = |option, value: usize, expected| {
            Err(Error::Option { option, value: value.to_string(), expected })
        };
        if !(1..=self.model.max_context()).contains(&self.window) {
            return wrong("window", self.window, "1 token to as many as the model's context holds");
        }
        let windows = tokens.len() / self.window;
        if windows == 0 {
            return wrong("window", self.window, "at most as many tokens as the calibration text has");
        }
        if self.first_window >= windows {
            return wrong("first_window", self.first_window, "the index of a window of the calibration text");
        }
        Ok(windows)
    }

    /// The window with the beginning-of-text token in front, if the model wants one.
    fn begin(&self, window: &[u32]) -> Vec<u32> {
        let mut window = window.to_vec();
        if let Some(bos) = self.model.tokenizer().special().prefix() {
            window[0] = bos;
        }
        window
    }
}

/// Sums of squares of each matrix's inputs in one window.
struct Inputs {
    output: bool,
    sums: BTreeMap<String, Sums>,
}

#[derive(Default)]
struct Sums {
    squares: Vec<f64>,
    count: u64,
}

impl Inputs {
    fn add_to(self, importance: &mut Importance) -> Result<()> {
        for (name, sums) in &self.sums {
            if let Some(column) = sums.squares.iter().position(|sum| !sum.is_finite()) {
                let problem = format!("is given inputs whose number {column} is not finite");
                return Err(Error::tensor(name, problem));
            }
        }
        self.sums.iter().try_for_each(|(name, sums)| importance.add(name, &sums.squares, sums.count))
    }
}

impl Observer for Inputs {
    fn matrix(&mut self, name: &str, input: Rows<'_>) -> Result<()> {
        // All matrices but that of the logits belong to a layer.
        if !self.output && !name.starts_with("blk.") {
            return Ok(());
        }
        let sums = self.sums.entry(name.to_owned()).or_default();
        sums.squares.resize(input.columns, 0.0);
        sums.count += input.count() as u64;
        for row in input.iter() {
            sums.squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x).powi(2));
        }
        Ok(())
    }
}

/// Sums of the cosines between what each layer was given and what it made of it.
#[derive(Default)]
struct Cosines {
    sums: Vec<f64>,
    counts: Vec<usize>,
}

impl Cosines {
    fn influence(&self) -> Result<Vec<f64>> {
        let means = self.sums.iter().zip(&self.counts).map(|(sum, count)| 1.0 - sum / *count as f64);
        means.map(|mean| if mean.is_finite() { Ok(mean) } else { Err(not_finite()) }).collect()
    }
}

fn not_finite() -> Error {
    let source = "a hidden state is not finite; the file may be damaged".into();
    Error::Compute { during: "measuring the influence of layers", source }
}

impl Observer for Cosines {
    fn layer(&mut self, index: usize, before: Rows<'_>, after: Rows<'_>) -> Result<()> {
        self.sums.resize(self.sums.len().max(index + 1), 0.0);
        self.counts.resize(self.sums.len(), 0);
        self.sums[index] += before.iter().zip(after.iter()).map(|(a, b)| cosine(a, b)).sum::<f64>();
        self.counts[index] += before.count();
        Ok(())
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn influence_is_one_less_the_mean_cosine_over_all_tokens() {
        let states = |values: &'static [f32; 4]| Rows { values, columns: 2 };
        let mut cosines = Cosines::default();
        let before = states(&[1.0, 0.0, 3.0, 4.0]);

        cosines.layer(0, before, states(&[0.0, 2.0, 6.0, 8.0])).unwrap();
        cosines.layer(1, before, states(&[-1.0, 0.0, -3.0, -4.0])).unwrap();
        cosines.layer(0, before, before).unwrap();

        assert_eq!(cosines.influence().unwrap(), [0.25, 2.0]);
    }
}
