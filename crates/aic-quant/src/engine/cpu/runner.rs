use std::ops::Range;
use std::sync::Arc;

use super::decoder::Decoder;
use super::layer::Buffers;
use super::pass::Pass;
use crate::Result;
use crate::engine::observer::{Observer, Rows};
use crate::engine::runner::{self, Wanted};
use crate::engine::step::Slice;
use crate::kernels::{CacheType, KvStore, PAGE, Product, Scratch, Span, Vectors, multiply};

/// Runs slices of any sequences together, through all layers or, from the hidden states that others computed, through the last.
pub(in crate::engine) struct Runner {
    decoder: Arc<Decoder>,
    store: KvStore,
    scratch: Scratch,
    buffers: Buffers,
    /// Of the wanted rows after a pass.
    hidden: Vec<f32>,
    states: Vec<f32>,
}

impl Runner {
    /// A runner for `positions` of all sequences together, with these types of keys and values.
    ///
    /// # Errors
    /// If the types do not suit the heads, or the system refuses the memory.
    pub(in crate::engine) fn new(
        decoder: Arc<Decoder>,
        positions: usize,
        cache_types: [CacheType; 2],
    ) -> Result<Self> {
        Ok(Self {
            store: decoder.store(positions.div_ceil(PAGE), cache_types)?,
            decoder,
            scratch: Scratch::default(),
            buffers: Buffers::default(),
            hidden: Vec::new(),
            states: Vec::new(),
        })
    }

    /// Puts the embeddings of all tokens of `slices` into `hidden`.
    fn embed(&mut self, slices: &[Slice<'_>]) {
        let size = self.decoder.hidden_size();
        let rows: usize = slices.iter().map(|slice| slice.tokens.len()).sum();
        self.hidden.resize(rows * size, 0.0);
        let tokens = slices.iter().flat_map(|slice| slice.tokens);
        for (token, row) in tokens.zip(self.hidden.chunks_exact_mut(size)) {
            self.decoder.embedding().weights.row(*token as usize, row);
        }
        let scale = self.decoder.embedding_scale;
        if scale != 1.0 {
            Vectors::new(&self.decoder.pool, self.decoder.instructions).scale(&mut self.hidden, scale);
        }
    }

    /// Runs `slices` from the `hidden` states of all their tokens before the first of the decoder's layers, one after the other.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(in crate::engine) fn run_from(
        &mut self,
        hidden: &[f32],
        slices: &[Slice<'_>],
        wanted: Wanted,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.hidden.clear();
        self.hidden.extend_from_slice(hidden);
        self.pass(slices, wanted, observer)
    }

    /// Takes what is in `hidden` through the layers.
    fn pass(&mut self, slices: &[Slice<'_>], wanted: Wanted, observer: &mut dyn Observer) -> Result<()> {
        let decoder = &*self.decoder;
        let size = decoder.hidden_size();
        let kept = (wanted == Wanted::Last).then(|| last_rows(slices));
        let positions = slices.iter().flat_map(|slice| slice.start..slice.start + slice.tokens.len());
        let mut pass = Pass {
            pool: &decoder.pool,
            instructions: decoder.instructions,
            scratch: &mut self.scratch,
            store: &mut self.store,
            observer,
            slices,
            spans: spans(slices),
            angles: decoder.angles(&positions),
        };
        let last = decoder.layers.len() - 1;
        for (index, layer) in decoder.layers.iter().enumerate() {
            let before = if pass.observer.watches() { self.hidden.clone() } else { Vec::new() };
            let kept = kept.as_deref().filter(|_| index == last);
            layer.attend(&mut pass, index, &mut self.hidden, kept, &mut self.buffers)?;
            layer.feed(&mut pass, &mut self.hidden, &mut self.buffers)?;
            if pass.observer.watches() {
                let rows = |values| Rows { values, columns: size };
                pass.observer.layer(decoder.first + index, rows(&before), rows(&self.hidden))?;
            }
        }
        decoder.norm.apply(&pass, &self.hidden, &mut self.states);
        self.states.truncate(self.hidden.len());
        if pass.observer.watches() {
            let states = Rows { values: &self.states, columns: size };
            pass.observer.matrix(&decoder.output.name, states)?;
        }
        Ok(())
    }
}

impl runner::Runner for Runner {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn pages(&self) -> usize {
        self.store.pages()
    }

    fn shares_pages(&self) -> bool {
        true
    }

    fn run(&mut self, slices: &[Slice<'_>], wanted: Wanted, observer: &mut dyn Observer) -> Result<()> {
        self.embed(slices);
        self.pass(slices, wanted, observer)
    }

    fn states(&mut self) -> Result<&[f32]> {
        Ok(&self.states)
    }

    fn logits(&mut self, rows: Range<usize>) -> Result<Vec<Vec<f32>>> {
        let decoder = &*self.decoder;
        let (size, vocabulary) = (decoder.hidden_size(), decoder.output.rows());
        let mut logits = vec![0.0; rows.len() * vocabulary];
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let states = &self.states[rows.start * size..rows.end * size];
        let product = Product { weights: &decoder.output.weights, output: &mut logits };
        multiply(&decoder.pool, &mut self.scratch, states, rows.len(), &mut [product]);
        if let Some(cap) = decoder.logit_softcap {
            Vectors::new(&decoder.pool, decoder.instructions).softcap(&mut logits, cap);
        }
        Ok(logits.chunks_exact(vocabulary).map(<[f32]>::to_vec).collect())
    }

    fn end(&mut self, _sequence: u64) {}

    fn trim(&mut self, pages: &[u32]) {
        self.store.release(pages);
    }
}

/// The row of the last token of each slice that asks for logits.
fn last_rows(slices: &[Slice<'_>]) -> Vec<usize> {
    let mut end = 0;
    let last = |slice: &Slice<'_>| {
        end += slice.tokens.len();
        slice.logits.then_some(end - 1)
    };
    slices.iter().filter_map(last).collect()
}

fn spans<'a>(slices: &[Slice<'a>]) -> Vec<Span<'a>> {
    let mut first_row = 0;
    let span = |slice: &Slice<'a>| {
        let rows = slice.tokens.len();
        first_row += rows;
        Span { first_row: first_row - rows, rows, start: slice.start, pages: slice.pages }
    };
    slices.iter().map(span).collect()
}
