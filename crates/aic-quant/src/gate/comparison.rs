use super::sketch::{BadLogit, Distribution, Measure, Sketch};
use super::text::Text;
use crate::{BoxError, Error, Model, Result};

/// A logit of the candidate that is not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BadPlace {
    window: usize,
    position: usize,
    logit: BadLogit,
}

impl BadPlace {
    /// What to say of it.
    pub(super) fn reason(&self) -> String {
        format!(
            "the logit of token {} is {} after position {} of window {}",
            self.logit.token, self.logit.value, self.position, self.window
        )
    }
}

/// Calls `visit` with each scored position of the window `index` of `text`, its distribution, and the token that follows.
/// A bad logit, in a scored position or not, ends the run and is returned.
fn visit(
    model: &Model,
    text: &Text,
    index: usize,
    mut visit: impl FnMut(&Distribution<'_>, u32),
) -> Result<Option<BadPlace>> {
    let mut bad = None;
    let outcome = model.predict(&text.prompt(index), |position, logits| {
        let distribution = Distribution::new(logits).map_err(|logit| {
            bad = Some(BadPlace { window: index, position, logit });
            not_a_number()
        })?;
        if position >= text.first() {
            visit(&distribution, text.truth(index, position));
        }
        Ok(())
    });
    match bad {
        Some(bad) => Ok(Some(bad)),
        None => outcome.map(|()| None),
    }
}

fn not_a_number() -> Error {
    Error::Compute { during: "running the model", source: BoxError::from("a logit is not a number") }
}

/// What the reference predicts in the window `index`, keeping `top` tokens at each position.
pub(super) fn sketch(model: &Model, text: &Text, index: usize, top: usize, seed: u64) -> Result<Vec<Sketch>> {
    use rand::SeedableRng;
    // A window's draws do not depend on the windows before it.
    let mut random =
        rand::rngs::StdRng::seed_from_u64(seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut sketches = Vec::with_capacity(text.scored());
    let bad = visit(model, text, index, |distribution, truth| {
        sketches.push(Sketch::new(distribution, truth, top, &mut random));
    })?;
    match bad {
        None => Ok(sketches),
        Some(bad) => Err(Error::Compute {
            during: "running the reference",
            source: format!("{}; the file may be damaged", bad.reason()).into(),
        }),
    }
}

/// Compares the candidate's predictions in the window `index` with `sketches`, one for each position scored.
pub(super) fn measure(
    candidate: &Model,
    text: &Text,
    index: usize,
    sketches: &[Sketch],
) -> Result<Result<Vec<Measure>, BadPlace>> {
    let mut measures = Vec::with_capacity(sketches.len());
    let mut sketches = sketches.iter();
    let bad = visit(candidate, text, index, |distribution, truth| {
        measures.extend(sketches.next().map(|sketch| sketch.measure(distribution, truth)));
    })?;
    Ok(bad.map_or(Ok(measures), Err))
}
