use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::compute;
use super::decoder::{Cache, Decoder};
use crate::engine::observer::Observer;
use crate::engine::reading::CHUNK;
use crate::engine::runner::{self, Wanted};
use crate::engine::step::Slice;
use crate::kernels::PAGE;
use crate::{Error, Result};

const RUNNING: &str = "running the model";

/// Runs one sequence after the other; each has a cache of its own, so pages only count positions.
pub(in crate::engine) struct Runner {
    decoder: Arc<Decoder>,
    caches: HashMap<u64, Cache>,
    pages: usize,
    hidden: Option<Tensor>,
    states: Vec<f32>,
}

impl Runner {
    /// A runner for `positions` of all sequences together.
    pub(in crate::engine) fn new(decoder: Arc<Decoder>, positions: usize) -> Self {
        let pages = positions.div_ceil(PAGE);
        Self { decoder, caches: HashMap::new(), pages, hidden: None, states: Vec::new() }
    }

    fn run_slice(&mut self, slice: &Slice<'_>, observer: &mut dyn Observer) -> Result<Vec<Tensor>> {
        let cache = self.caches.entry(slice.sequence).or_insert_with(|| self.decoder.cache());
        if cache.length != slice.start {
            return Err(out_of_step(cache.length, slice.start));
        }
        let run = |chunk: &[u32]| self.decoder.hidden(chunk, cache, observer);
        slice.tokens.chunks(CHUNK).map(run).collect::<candle_core::Result<_>>().map_err(compute(RUNNING))
    }

    /// Sequences whose keys and values are kept.
    #[cfg(test)]
    pub(in crate::engine) fn sequences(&self) -> usize {
        self.caches.len()
    }

    fn keep(&mut self, rows: &[Tensor]) -> candle_core::Result<()> {
        self.hidden = None;
        if !rows.is_empty() {
            self.hidden = Some(Tensor::cat(rows, 0)?);
        }
        Ok(())
    }
}

impl runner::Runner for Runner {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn pages(&self) -> usize {
        self.pages
    }

    fn shares_pages(&self) -> bool {
        false
    }

    fn run(&mut self, slices: &[Slice<'_>], wanted: Wanted, observer: &mut dyn Observer) -> Result<()> {
        let mut rows = Vec::new();
        for slice in slices {
            let mut chunks = self.run_slice(slice, observer)?;
            match (wanted, chunks.pop()) {
                (Wanted::Last, Some(last)) if slice.logits => {
                    let end = last.dim(0).map_err(compute(RUNNING))?;
                    rows.push(last.narrow(0, end - 1, 1).map_err(compute(RUNNING))?);
                }
                (Wanted::All, Some(last)) => {
                    rows.append(&mut chunks);
                    rows.push(last);
                }
                _ => {}
            }
        }
        self.keep(&rows).map_err(compute(RUNNING))
    }

    fn states(&mut self) -> Result<&[f32]> {
        let hidden = self.hidden.as_ref().map(|hidden| hidden.flatten_all()?.to_vec1());
        self.states = hidden.transpose().map_err(compute(RUNNING))?.unwrap_or_default();
        Ok(&self.states)
    }

    fn logits(&mut self, rows: Range<usize>) -> Result<Vec<Vec<f32>>> {
        let Some(hidden) = self.hidden.as_ref().filter(|_| !rows.is_empty()) else { return Ok(Vec::new()) };
        let logits =
            hidden.narrow(0, rows.start, rows.len()).and_then(|rows| self.decoder.logits(&rows)?.to_vec2());
        logits.map_err(compute(RUNNING))
    }

    fn end(&mut self, sequence: u64) {
        self.caches.remove(&sequence);
    }

    /// A sequence's keys and values went when it ended.
    fn trim(&mut self, _pages: &[u32]) {}
}

/// A sequence that is gone on with elsewhere than where it stopped, as after a pass that failed.
fn out_of_step(kept: usize, start: usize) -> Error {
    let source = format!("the sequence has {kept} tokens and is to go on after {start}").into();
    Error::Compute { during: RUNNING, source }
}
