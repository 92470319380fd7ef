use super::{KvStore, LayerShape, PAGE, Span, product, tile};
use crate::kernels::InstructionSet;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vectors::has_avx2;

/// Rows of queries up to which a tile does not pay.
#[cfg(target_arch = "x86_64")]
const FEW: usize = 8;

/// One head's part of one page.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) span: &'a Span<'a>,
    pub(super) head: usize,
    /// Counted from the beginning of the span's sequence.
    pub(super) page: usize,
    /// The page after it, or itself if it is the last.
    pub(super) next: usize,
}

/// Where keys and values come from.
pub(super) trait Source: Sync {
    fn shape(&self) -> LayerShape;

    /// The `scores`, `[rows, 32]`, of `queries`, `[rows, key_size]`; anything at positions that there are not.
    fn scores(&self, place: Place<'_>, queries: &[f32], tile: &mut [f32], scores: &mut [f32]);

    /// [`product::mix`] with the values.
    fn mix(&self, place: Place<'_>, shares: Shares<'_>, tile: &mut [f32], mixed: &mut [f32]);
}

/// What values are multiplied with before they are added.
#[derive(Clone, Copy)]
pub(super) struct Shares<'a> {
    /// `[rows, 32]`.
    pub(super) shares: &'a [f32],
    /// How many of the 32 there are values for.
    pub(super) count: usize,
    /// For each row, what the sum so far is multiplied with.
    pub(super) fade: &'a [f32],
    /// From one row of sums to the next.
    pub(super) stride: usize,
}

/// One layer of a store.
pub(super) struct Stored<'a> {
    pub(super) store: &'a KvStore,
    pub(super) layer: usize,
    pub(super) instructions: InstructionSet,
}

impl Stored<'_> {
    /// The keys and the values at a place, each followed by what comes next.
    fn parts(&self, place: Place<'_>) -> [[&[u8]; 2]; 2] {
        let part = |page: usize| self.store.parts(self.layer, place.span.pages[page], place.head);
        let ([keys, values], [next_keys, next_values]) = (part(place.page), part(place.next));
        [[keys, next_keys], [values, next_values]]
    }

    #[cfg(target_arch = "x86_64")]
    fn is_direct(&self, rows: usize, size: usize) -> bool {
        rows <= FEW && size.is_multiple_of(super::x86::direct::WIDTH) && has_avx2(self.instructions)
    }
}

impl Source for Stored<'_> {
    fn shape(&self) -> LayerShape {
        self.store.shape(self.layer)
    }

    fn scores(&self, place: Place<'_>, queries: &[f32], tile: &mut [f32], scores: &mut [f32]) {
        let ([kind, _], [parts, _]) = (self.store.types(), self.parts(place));
        let size = self.shape().key_size;
        #[cfg(target_arch = "x86_64")]
        if self.is_direct(scores.len() / PAGE, size) {
            // SAFETY: the processor has the instructions.
            return unsafe { super::x86::direct::scores(kind, parts, queries, size, scores) };
        }
        tile::keys(self.instructions, kind, parts[0], size, tile);
        product::scores(self.instructions, queries, tile, size, scores);
    }

    fn mix(&self, place: Place<'_>, shares: Shares<'_>, tile: &mut [f32], mixed: &mut [f32]) {
        let ([_, kind], [_, parts]) = (self.store.types(), self.parts(place));
        let size = self.shape().value_size;
        #[cfg(target_arch = "x86_64")]
        if self.is_direct(shares.fade.len(), size) {
            // SAFETY: the processor has the instructions.
            return unsafe { super::x86::direct::mix(kind, parts, shares, size, mixed) };
        }
        tile::values(self.instructions, kind, parts[0], size, shares.count, tile, shares.stride);
        product::mix(self.instructions, shares, tile, mixed);
    }
}

/// Keys and values of one text, `[tokens, kv_heads · size]`, that are not kept.
pub(super) struct Passing<'a> {
    pub(super) shape: LayerShape,
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) instructions: InstructionSet,
}

impl Source for Passing<'_> {
    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn scores(&self, place: Place<'_>, queries: &[f32], tile: &mut [f32], scores: &mut [f32]) {
        let size = self.shape.key_size;
        for (position, key) in rows(self.keys, place, self.shape.kv_heads, size).enumerate() {
            for (number, key) in key.iter().enumerate() {
                tile[number * PAGE + position] = *key;
            }
        }
        product::scores(self.instructions, queries, tile, size, scores);
    }

    fn mix(&self, place: Place<'_>, shares: Shares<'_>, tile: &mut [f32], mixed: &mut [f32]) {
        let size = self.shape.value_size;
        let values = rows(self.values, place, self.shape.kv_heads, size);
        for (value, tile) in values.zip(tile.chunks_exact_mut(shares.stride)) {
            tile[..size].copy_from_slice(value);
        }
        product::mix(self.instructions, shares, tile, mixed);
    }
}

/// What one head has at the positions of a page, out of `[tokens, heads · size]`.
fn rows<'a>(
    numbers: &'a [f32],
    place: Place<'_>,
    heads: usize,
    size: usize,
) -> impl Iterator<Item = &'a [f32]> {
    let (width, head) = (heads * size, place.head * size..(place.head + 1) * size);
    let page = numbers[place.page * PAGE * width..].chunks_exact(width).take(PAGE);
    page.map(move |token| &token[head.clone()])
}
