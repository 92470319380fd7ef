use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::comparison::{measure, sketch};
use super::reference::{Fingerprint, Reference};
use super::reference_file::FEWEST_KEPT;
use super::sketch::Sketch;
use super::text::Text;
use super::trial::Trial;
use super::{Behaviour, Kinship, Limits, Measures, Probe, Progress, Report, Verdict, structure};
use crate::{Error, FinishReason, GenerateOptions, Message, Model, ModelOptions, Result, TensorSource};

type OnProgress = dyn Fn(Progress) -> ControlFlow<()> + Send + Sync;

/// Judges candidates against a reference model, by what both predict in a text.
///
/// A candidate passes when, for each of the [`Limits`], the whole interval of the measure lies within, and fails when for any the
/// whole interval lies beyond. Intervals are looked at on a schedule that is fixed before the first token and shares the error between
/// looks and measures, so that every interval the gate ever judges holds, all together, with the
/// [`confidence`](Self::confidence) asked for. The gate stops at the first look that decides.
///
/// The text should be one the models were not tuned on, in the language and form of their use, with at least some thousands
/// of tokens: 99 % quantiles need about 1,500 positions to be bounded at all, and half of each window is context.
#[derive(Clone)]
#[must_use]
pub struct Gate {
    text: String,
    limits: Limits,
    window: usize,
    top: usize,
    confidence: f64,
    seed: u64,
    kinship: Kinship,
    probes: Vec<Probe>,
    on_progress: Option<Arc<OnProgress>>,
}

impl Gate {
    /// A gate that reads `text`, with the defaults that each setter states.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            limits: Limits::balanced(),
            window: 512,
            top: 64,
            confidence: 0.95,
            seed: 0,
            kinship: Kinship::Rounded,
            probes: Vec::new(),
            on_progress: None,
        }
    }

    /// The most a candidate may lose. Defaults to [`Limits::balanced`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`Limits::max_mean_kl`] alone.
    pub fn max_mean_kl(mut self, nats: f64) -> Self {
        self.limits.max_mean_kl = nats;
        self
    }

    /// Tokens of one window, at least 4; the first half of each is context and not scored. Defaults to 512, or what the models'
    /// contexts hold if that is less.
    pub fn window(mut self, tokens: usize) -> Self {
        self.window = tokens;
        self
    }

    /// How many of the likeliest tokens are compared one by one at each position, at least 8; divergence among the others is
    /// estimated. As many as the vocabulary has make everything exact. Defaults to 64.
    pub fn top(mut self, tokens: usize) -> Self {
        self.top = tokens;
        self
    }

    /// The probability, above 0 and below 1, with which all intervals hold together; that of the probes' test is apart.
    /// Defaults to 0.95.
    pub fn confidence(mut self, probability: f64) -> Self {
        self.confidence = probability;
        self
    }

    /// The seed of what is resampled and drawn; the same seed gives the same report. Defaults to 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How candidates came from the reference, for [`judge`](Self::judge). Defaults to [`Kinship::Rounded`].
    pub fn kinship(mut self, kinship: Kinship) -> Self {
        self.kinship = kinship;
        self
    }

    /// Questions whose answers are compared once the text did not fail the candidate. Defaults to none.
    pub fn probes(mut self, probes: impl IntoIterator<Item = Probe>) -> Self {
        self.probes = probes.into_iter().collect();
        self
    }

    /// Called after each window and each probe; breaking off leaves the verdict inconclusive. Defaults to nothing.
    pub fn on_progress(
        mut self,
        on_progress: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Judges `candidate`, from its file on: first [`structure`], and if nothing is found, both models are loaded with `options`
    /// and compared. Both are in memory at once.
    ///
    /// # Errors
    /// As [`structure`], [`compare`](Self::compare), and for a reference that cannot be loaded [`ModelOptions::load`]. A candidate
    /// that cannot be loaded fails.
    pub fn judge(
        &self,
        reference: &dyn TensorSource,
        candidate: &dyn TensorSource,
        options: &ModelOptions,
    ) -> Result<Report> {
        self.check()?;
        let findings = structure(reference, candidate, self.kinship)?;
        if !findings.is_empty() {
            let reasons = findings.iter().map(ToString::to_string).collect();
            let report = self.report(Verdict::Fail { reasons }, (0, 0), None);
            return Ok(Report { findings: Some(findings), ..report });
        }
        let reference = options.clone().load(reference)?;
        let report = match options.clone().load(candidate) {
            Ok(candidate) => self.compare(&reference, &candidate)?,
            Err(error) => self.report(Verdict::fail(format!("it cannot be loaded: {error}")), (0, 0), None),
        };
        Ok(Report { findings: Some(findings), ..report })
    }

    /// Judges `candidate` by what both models predict, window by window, and then by the probes.
    ///
    /// Models with different tokenizers or vocabularies cannot be compared, and the candidate fails; so does one that
    /// computes a logit that is not a number.
    ///
    /// # Errors
    /// [`Error::Option`] for an option out of range, [`Error::Empty`] for a text of fewer than 4 tokens, [`Error::Compute`]
    /// if the reference computes what is not a number, and those of [`Model::predict`] and [`Model::generate`].
    pub fn compare(&self, reference: &Model, candidate: &Model) -> Result<Report> {
        self.check()?;
        let window = self.window.min(reference.max_context()).min(candidate.max_context());
        let text = Text::new(reference, &self.text, window)?;
        if let Some(reason) = self.stranger(&text, reference.info().vocabulary, candidate)? {
            return Ok(self.report(Verdict::fail(reason), (0, text.windows()), None));
        }
        let report = self.read(&text, candidate, |index| {
            sketch(reference, &text, index, self.top, self.seed).map(Cow::Owned)
        })?;
        if self.probes.is_empty() || matches!(report.verdict, Verdict::Fail { .. }) {
            return Ok(report);
        }
        self.ask(reference, candidate, report)
    }

    /// Judges `candidate` against predictions that were kept. Probes are not asked, because that takes both models.
    ///
    /// # Errors
    /// [`Error::Option`] if `reference` is of another text, or of windows the candidate's context does not hold; otherwise as
    /// [`compare`](Self::compare).
    pub fn compare_with(&self, reference: &Reference, candidate: &Model) -> Result<Report> {
        self.check()?;
        let wrong = |value: String, expected| Error::Option { option: "reference", value, expected };
        if reference.window > candidate.max_context() {
            let value = format!("of windows of {} tokens", reference.window);
            return Err(wrong(value, "one of windows that the candidate's context holds"));
        }
        let text = Text::new(candidate, &self.text, reference.window)?;
        if reference.text_hash != *blake3::hash(self.text.as_bytes()).as_bytes() {
            return Err(wrong("of another text".to_owned(), "one of the gate's text"));
        }
        let reason = if reference.token_hash != text.hash() {
            Some("its tokenizer makes other tokens of the text".to_owned())
        } else {
            other_vocabulary(reference.vocabulary, candidate)
        };
        if let Some(reason) = reason {
            return Ok(self.report(Verdict::fail(reason), (0, reference.windows.len()), None));
        }
        if reference.windows.len() != text.windows()
            || reference.windows.iter().any(|w| w.len() != text.scored())
        {
            return Err(wrong("of other windows".to_owned(), "one of all windows of the text"));
        }
        self.read(&text, candidate, |index| Ok(Cow::Borrowed(&reference.windows[index][..])))
    }

    /// Runs `reference` over the whole text and keeps what it predicts; `fingerprint` tells later whose it is. `None` if
    /// [`on_progress`](Self::on_progress) broke it off.
    ///
    /// # Errors
    /// As [`compare`](Self::compare).
    pub fn reference(&self, reference: &Model, fingerprint: Fingerprint) -> Result<Option<Reference>> {
        self.check()?;
        let text = Text::new(reference, &self.text, self.window.min(reference.max_context()))?;
        let mut windows = Vec::with_capacity(text.windows());
        for index in 0..text.windows() {
            windows.push(sketch(reference, &text, index, self.top, self.seed)?);
            if self.tell((index + 1, text.windows()), 0).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(Reference {
            model: fingerprint,
            text_hash: *blake3::hash(self.text.as_bytes()).as_bytes(),
            token_hash: text.hash(),
            window: text.window(),
            vocabulary: reference.info().vocabulary,
            windows,
        }))
    }

    /// Reads the text until a look decides or it ends; `sketches` has what the reference predicts in a window.
    fn read<'a>(
        &self,
        text: &Text,
        candidate: &Model,
        sketches: impl Fn(usize) -> Result<Cow<'a, [Sketch]>>,
    ) -> Result<Report> {
        let planned = text.windows();
        let mut trial = Trial::new(self.limits, (planned, text.scored()), self.confidence, self.seed);
        let mut index = 0;
        loop {
            let window = match measure(candidate, text, index, &sketches(index)?)? {
                Ok(window) => window,
                Err(bad) => return Ok(self.report(Verdict::fail(bad.reason()), (index, planned), None)),
            };
            index += 1;
            let decision = trial.add(window);
            let broken_off = self.tell((index, planned), 0).is_break();
            if let Some((verdict, measures)) = decision {
                return Ok(self.report(verdict, (index, planned), measures));
            }
            if broken_off {
                let verdict = Verdict::inconclusive("the comparison was broken off");
                return Ok(self.report(verdict, (index, planned), trial.measures()));
            }
        }
    }

    /// Puts the probes to both models and adds how they did to `report`.
    fn ask(&self, reference: &Model, candidate: &Model, report: Report) -> Result<Report> {
        let mut outcomes = Vec::with_capacity(self.probes.len());
        for probe in &self.probes {
            let (_, passed) = answer(reference, probe)?;
            let (answer, still) = match answer(candidate, probe) {
                Ok(answer) => answer,
                // An answer that cannot be computed is a wrong one.
                Err(error @ Error::Compute { .. }) => (error.to_string(), false),
                Err(error) => return Err(error),
            };
            outcomes.push((probe.clone(), passed, answer, still));
            if self.tell((report.windows, report.windows_planned), outcomes.len()).is_break() {
                let verdict = report.verdict.and(Verdict::inconclusive("the probes were broken off"));
                return Ok(Report { verdict, ..report });
            }
        }
        let behaviour = Behaviour::new(outcomes);
        let verdict = report.verdict.and(behaviour.judge(self.confidence));
        Ok(Report { verdict, behaviour: Some(behaviour), ..report })
    }

    /// Why the candidate's predictions cannot be compared with a reference of `vocabulary` tokens.
    fn stranger(&self, text: &Text, vocabulary: usize, candidate: &Model) -> Result<Option<String>> {
        let theirs = candidate.tokenize(&self.text)?;
        let Some(at) = text.tokens.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs) else {
            let longer = (text.tokens.len() != theirs.len()).then_some(text.tokens.len().min(theirs.len()));
            return Ok(longer.map(other_token).or_else(|| other_vocabulary(vocabulary, candidate)));
        };
        Ok(Some(other_token(at)))
    }

    fn tell(&self, (windows, windows_planned): (usize, usize), probes: usize) -> ControlFlow<()> {
        let progress = Progress { windows, windows_planned, probes, probes_planned: self.probes.len() };
        self.on_progress.as_ref().map_or(ControlFlow::Continue(()), |tell| tell(progress))
    }

    fn report(&self, verdict: Verdict, windows: (usize, usize), measures: Option<Measures>) -> Report {
        tracing::info!(%verdict, windows = windows.0, "judged a candidate");
        Report {
            verdict,
            limits: self.limits,
            confidence: self.confidence,
            windows: windows.0,
            windows_planned: windows.1,
            measures,
            findings: None,
            behaviour: None,
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if self.window < 4 {
            return wrong("window", self.window.to_string(), "at least 4 tokens");
        }
        if self.top < FEWEST_KEPT {
            return wrong("top", self.top.to_string(), "at least 8 tokens");
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return wrong("confidence", self.confidence.to_string(), "above 0 and below 1");
        }
        Ok(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("text_bytes", &self.text.len())
            .field("limits", &self.limits)
            .field("window", &self.window)
            .field("top", &self.top)
            .field("confidence", &self.confidence)
            .field("seed", &self.seed)
            .field("kinship", &self.kinship)
            .field("probes", &self.probes.len())
            .finish_non_exhaustive()
    }
}

/// The model's greedy answer, and whether it is what the probe expects.
fn answer(model: &Model, probe: &Probe) -> Result<(String, bool)> {
    let options =
        GenerateOptions { max_tokens: probe.max_tokens, temperature: 0.0, ..GenerateOptions::default() };
    let mut generation = model.generate(&[Message::user(&probe.prompt)], &options)?;
    let answer = generation.text()?;
    let passed = probe.accepts(&answer, generation.finish_reason() == Some(FinishReason::Stop));
    Ok((answer, passed))
}

fn other_token(at: usize) -> String {
    format!("its tokenizer makes another token of the text at position {at}")
}

fn other_vocabulary(vocabulary: usize, candidate: &Model) -> Option<String> {
    let theirs = candidate.info().vocabulary;
    (theirs != vocabulary).then(|| format!("it knows {theirs} tokens and the reference {vocabulary}"))
}
