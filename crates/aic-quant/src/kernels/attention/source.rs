use super::{KvStore, LayerShape, PAGE, Span, tile};
use crate::kernels::InstructionSet;

/// Where keys and values come from, 32 positions at a time.
pub(super) trait Source: Sync {
    fn shape(&self) -> LayerShape;

    /// Keys of `head` in the `page`th page of the span, `[key_size, 32]`; anything at positions that there are not.
    fn keys(&self, span: &Span<'_>, page: usize, head: usize, tile: &mut [f32]);

    /// The first `count` values of `head` in that page, `[count, value_size]`, `stride` apart.
    fn values(
        &self,
        span: &Span<'_>,
        page: usize,
        head: usize,
        count: usize,
        tile: &mut [f32],
        stride: usize,
    );
}

/// One layer of a store.
pub(super) struct Stored<'a> {
    pub(super) store: &'a KvStore,
    pub(super) layer: usize,
    pub(super) instructions: InstructionSet,
}

impl Source for Stored<'_> {
    fn shape(&self) -> LayerShape {
        self.store.shape(self.layer)
    }

    fn keys(&self, span: &Span<'_>, page: usize, head: usize, tile: &mut [f32]) {
        let [part, _] = self.store.parts(self.layer, span.pages[page], head);
        tile::keys(self.instructions, self.store.types()[0], part, self.shape().key_size, tile);
    }

    fn values(
        &self,
        span: &Span<'_>,
        page: usize,
        head: usize,
        count: usize,
        tile: &mut [f32],
        stride: usize,
    ) {
        let [_, part] = self.store.parts(self.layer, span.pages[page], head);
        tile::values(
            self.instructions,
            self.store.types()[1],
            part,
            self.shape().value_size,
            count,
            tile,
            stride,
        );
    }
}

/// Keys and values of one text, `[tokens, kv_heads · size]`, that are not kept.
pub(super) struct Passing<'a> {
    pub(super) shape: LayerShape,
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
}

impl Source for Passing<'_> {
    fn shape(&self) -> LayerShape {
        self.shape
    }

    fn keys(&self, _: &Span<'_>, page: usize, head: usize, tile: &mut [f32]) {
        let (size, width) = (self.shape.key_size, self.shape.kv_heads * self.shape.key_size);
        for (position, row) in self.keys[page * PAGE * width..].chunks_exact(width).take(PAGE).enumerate() {
            for (number, key) in row[head * size..][..size].iter().enumerate() {
                tile[number * PAGE + position] = *key;
            }
        }
    }

    fn values(&self, _: &Span<'_>, page: usize, head: usize, count: usize, tile: &mut [f32], stride: usize) {
        let (size, width) = (self.shape.value_size, self.shape.kv_heads * self.shape.value_size);
        let rows = self.values[page * PAGE * width..].chunks_exact(width).take(count);
        for (row, tile) in rows.zip(tile.chunks_exact_mut(stride)) {
            tile[..size].copy_from_slice(&row[head * size..][..size]);
        }
    }
}
