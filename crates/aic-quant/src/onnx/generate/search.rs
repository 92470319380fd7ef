use std::ops::ControlFlow;

use super::beams::{Beams, Hypothesis, Settings};
use super::{Decoder, State};
use crate::{Error, Result};

/// A search for the best answers to some inputs at once.
pub(in crate::onnx) struct Search<'a> {
    pub(in crate::onnx) decoder: &'a Decoder,
    /// The tokens that all answers start with.
    pub(in crate::onnx) prompt: &'a [u32],
    pub(in crate::onnx) settings: &'a Settings,
}

impl Search<'_> {
    /// The best answer to each input of `state`. `on_token` is told each token of an input's answer, and can stop the search:
    /// while it grows with one beam, and with more when it is finished.
    pub(in crate::onnx) fn run(
        &self,
        mut state: State,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Hypothesis>> {
        let mut all: Vec<Beams> = (0..state.rows()).map(|_| Beams::new(self.prompt)).collect();
        let mut fed = 0;
        while all.iter().any(|beams| !beams.is_done()) {
            let running = all.iter().filter(|beams| !beams.is_done()).flat_map(Beams::running);
            let tokens: Vec<&[u32]> = running.map(|(tokens, _)| &tokens[fed..]).collect();
            fed += tokens.first().map_or(0, |tokens| tokens.len());
            let mut logits = self.decoder.step(&mut state, &tokens)?;
            let rows = self.grow(&mut all, &mut logits.values, logits.vocabulary, on_token)?;
            state.select(&rows)?;
        }
        Ok(all.into_iter().map(Beams::best).collect())
    }

    /// Lets all unfinished answers grow by a token, and says which row of the state each goes on with.
    fn grow(
        &self,
        all: &mut [Beams],
        logits: &mut [f32],
        vocabulary: usize,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<usize>> {
        let (mut rest, mut start, mut rows) = (logits, 0, Vec::new());
        for (index, beams) in all.iter_mut().enumerate().filter(|(_, beams)| !beams.is_done()) {
            let count = beams.running().count();
            let (own, others) = rest.split_at_mut(count * vocabulary);
            beams.grow(own, vocabulary, self.settings);
            rest = others;
            if !beams.is_done() {
                rows.extend(beams.running().map(|(_, parent)| start + parent));
            }
            start += count;
            let told = beams.news(self.settings.beams, self.prompt.len());
            if told.iter().any(|token| on_token(index, *token).is_break()) {
                return Err(Error::Stopped { what: "the search for an answer" });
            }
        }
        Ok(rows)
    }
}
