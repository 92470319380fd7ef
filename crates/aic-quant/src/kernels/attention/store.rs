use std::ops::Range;

use memmap2::MmapMut;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use super::{CacheType, encode};
use crate::kernels::Parts;
use crate::kernels::vectors::{Vectors, vectorize};
use crate::{Error, Result};

/// Positions in a page.
pub(crate) const PAGE: usize = 32;

/// Pages begin at multiples of this, which is a multiple of the pages of memory everywhere, so that one can be given back
/// without its neighbours.
const ALIGNMENT: usize = 1 << 16;

/// What one layer keeps of a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerShape {
    pub(crate) kv_heads: usize,
    /// Numbers in a key of one head.
    pub(crate) key_size: usize,
    /// Numbers in a value of one head.
    pub(crate) value_size: usize,
}

/// The keys and values of all layers, in pages of [`PAGE`] positions.
///
/// A page holds its positions for all layers, so that it is given back whole. It is zero and costs no memory until something
/// is stored in it. Within it, for each layer, for each of its key-value heads, come the keys and then the values:
///
/// - keys lie with the positions side by side, `[key_size, 32]`, so that a query meets all of a page at once and nothing is
///   ever summed across a vector;
/// - values lie as they come, `[32, value_size]`, since they are summed over positions;
/// - in the types with blocks of 32 numbers, which never cross a head or a position, the codes come first in that order, then
///   the scales with the positions side by side, `[size / 32, 32]`. Of 4-bit codes, two neighbours along the head share a
///   byte, the first in its lower half.
pub(crate) struct KvStore {
    memory: MmapMut,
    layout: Layout,
}

impl KvStore {
    /// Room for `pages` pages; the memory is asked for now and used when something is stored.
    ///
    /// # Errors
    /// [`Error::Option`] if a type does not suit a head size or the size is beyond what can be addressed, [`Error::Io`] if
    /// the system has not that much memory.
    pub(crate) fn new(
        layers: &[LayerShape],
        keys: CacheType,
        values: CacheType,
        pages: usize,
    ) -> Result<Self> {
        let layout = Layout::new(layers, keys, values, pages)?;
        let memory = MmapMut::map_anon((layout.stride * pages).max(1))
            .map_err(Error::io("reserve", "memory for keys and values; lower max_context"))?;
        Ok(Self { memory, layout })
    }

    /// Bytes that a page costs once all of it has been stored to.
    pub(crate) fn bytes_per_page(&self) -> u64 {
        self.layout.page_bytes as u64
    }

    /// Pages there are; their numbers lie below it.
    pub(crate) fn pages(&self) -> usize {
        self.layout.pages
    }

    /// The types of keys and values.
    pub(crate) fn types(&self) -> [CacheType; 2] {
        self.layout.types
    }

    pub(crate) fn shape(&self, layer: usize) -> LayerShape {
        self.layout.layers[layer].shape
    }

    /// The keys and the values of one head of one layer in one page.
    pub(super) fn parts(&self, layer: usize, page: u32, head: usize) -> [&[u8]; 2] {
        self.layout.parts(layer, page, head).map(|part| &self.memory[part])
    }

    /// Stores the `keys`, `[tokens, kv_heads · key_size]`, and `values`, `[tokens, kv_heads · value_size]`, of consecutive
    /// tokens, the first of them at position `start` of a sequence that has these `pages`.
    ///
    /// # Panics
    /// If the lengths contradict each other or the pages have no room.
    pub(crate) fn store(
        &mut self,
        vectors: &Vectors<'_>,
        layer: usize,
        pages: &[u32],
        start: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let LayerShape { kv_heads, key_size, value_size } = self.shape(layer);
        let tokens = keys.len() / (kv_heads * key_size);
        assert_eq!(keys.len(), tokens * kv_heads * key_size, "keys are not whole tokens");
        assert_eq!(values.len(), tokens * kv_heads * value_size, "there are not as many values as keys");
        let (layout, memory) = (&self.layout, Parts::new(&mut self.memory));
        vectors.by_rows(kv_heads, tokens * (key_size + value_size), |heads| {
            vectorize(
                vectors.instructions(),
                #[inline(always)]
                |_| {
                    for (head, token) in heads.flat_map(|head| (0..tokens).map(move |token| (head, token))) {
                        let (position, row) = (start + token, token * kv_heads + head);
                        let [key_part, value_part] = layout.parts(layer, pages[position / PAGE], head);
                        // SAFETY: parts of different heads do not overlap, nor do one head's keys and values.
                        let parts = unsafe { [memory.part(key_part), memory.part(value_part)] };
                        let [key_part, value_part] = parts;
                        let key = &keys[row * key_size..][..key_size];
                        encode::key(layout.types[0], key, position % PAGE, key_part);
                        let value = &values[row * value_size..][..value_size];
                        encode::value(layout.types[1], value, position % PAGE, value_part);
                    }
                },
            );
        });
    }

    /// Fills all pages with what must not be looked at.
    #[cfg(test)]
    pub(super) fn soil(&mut self) {
        self.memory.fill(0xff);
    }

    /// Gives the memory of `pages`, which no sequence uses any more, back to the system. They can be stored to again.
    ///
    /// Does nothing where there is no way to (anywhere but on Unix).
    pub(crate) fn release(&mut self, pages: &[u32]) {
        #[cfg(unix)]
        for page in pages {
            let start = self.layout.page(*page);
            let length = self.layout.page_bytes;
            // SAFETY: `&mut self` is the only borrow of the memory, which is nobody else's and no file's.
            let given =
                unsafe { self.memory.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
            if let Err(error) = given {
                tracing::debug!(page, error = &error as &dyn std::error::Error, "memory was not given back");
            }
        }
    }
}

/// Where everything lies.
struct Layout {
    types: [CacheType; 2],
    layers: Vec<Layer>,
    pages: usize,
    page_bytes: usize,
    /// From one page to the next.
    stride: usize,
}

struct Layer {
    shape: LayerShape,
    /// Within a page.
    start: usize,
    key_bytes: usize,
    value_bytes: usize,
}

impl Layout {
    fn new(layers: &[LayerShape], keys: CacheType, values: CacheType, pages: usize) -> Result<Self> {
        let mut layout = Self { types: [keys, values], layers: Vec::new(), pages, page_bytes: 0, stride: 0 };
        for shape in layers {
            layout.push(*shape)?;
        }
        // An odd number of steps keeps the pages from competing for the same few places of the processor's caches.
        layout.stride = (layout.page_bytes.div_ceil(ALIGNMENT) | 1) * ALIGNMENT;
        match layout.stride.checked_mul(pages) {
            Some(total) if total <= isize::MAX as usize => Ok(layout),
            _ => Err(Error::Option {
                option: "max_context",
                value: pages.saturating_mul(PAGE).to_string(),
                expected: "a context whose keys and values can be addressed",
            }),
        }
    }

    fn push(&mut self, shape: LayerShape) -> Result<()> {
        self.types[0].check(shape.key_size)?;
        self.types[1].check(shape.value_size)?;
        let key_bytes = self.types[0].bytes(PAGE * shape.key_size);
        let value_bytes = self.types[1].bytes(PAGE * shape.value_size);
        self.layers.push(Layer { shape, start: self.page_bytes, key_bytes, value_bytes });
        self.page_bytes += shape.kv_heads * (key_bytes + value_bytes);
        Ok(())
    }

    /// Where `page` begins.
    fn page(&self, page: u32) -> usize {
        assert!((page as usize) < self.pages, "page {page} of {}", self.pages);
        page as usize * self.stride
    }

    fn parts(&self, layer: usize, page: u32, head: usize) -> [Range<usize>; 2] {
        let Layer { shape, start, key_bytes, value_bytes } = self.layers[layer];
        assert!(head < shape.kv_heads, "head {head} of {}", shape.kv_heads);
        let keys = self.page(page) + start + head * (key_bytes + value_bytes);
        let values = keys + key_bytes;
        [keys..values, values..values + value_bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{InstructionSet, Pool};

    const SHAPE: LayerShape = LayerShape { kv_heads: 2, key_size: 64, value_size: 32 };

    fn store(kind: CacheType, pages: usize) -> KvStore {
        KvStore::new(&[SHAPE, SHAPE], kind, kind, pages).unwrap()
    }

    #[test]
    fn a_page_costs_what_its_numbers_do() {
        let numbers = (2 * 2 * PAGE * (64 + 32)) as u64;
        assert_eq!(store(CacheType::F16, 1).bytes_per_page(), numbers * 2);
        assert_eq!(store(CacheType::Q8_0, 1).bytes_per_page(), numbers * 34 / 32);
        assert_eq!(store(CacheType::Q4_0, 1).bytes_per_page(), numbers * 18 / 32);
    }

    #[test]
    fn parts_fill_the_page_without_overlap() {
        for kind in [CacheType::F16, CacheType::Q8_0, CacheType::Q4_0] {
            let store = store(kind, 3);
            let mut end = store.layout.page(2);
            for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                for part in store.layout.parts(layer, 2, head) {
                    assert_eq!(part.start, end);
                    end = part.end;
                }
            }
            assert_eq!(end - store.layout.page(2), store.layout.page_bytes);
        }
    }

    #[test]
    fn types_that_do_not_suit_and_contexts_without_end_are_refused() {
        let odd = LayerShape { key_size: 80, ..SHAPE };
        let refused = |keys, values| KvStore::new(&[odd], keys, values, 1).err();
        assert!(matches!(refused(CacheType::Q8_0, CacheType::F16), Some(Error::Option { .. })));
        assert!(refused(CacheType::F16, CacheType::Q8_0).is_none());
        let endless = KvStore::new(&[SHAPE], CacheType::F16, CacheType::F16, usize::MAX / 100_000);
        assert!(endless.is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such call of the system")]
    fn a_released_page_is_empty_and_its_neighbours_are_not() {
        let pool = Pool::new(1).unwrap();
        let vectors = Vectors::new(&pool, InstructionSet::best());
        let mut store = store(CacheType::F16, 3);
        for page in 0..3 {
            store.store(&vectors, 1, &[page], 31, &[1.0; 128], &[2.0; 64]);
        }
        store.release(&[1]);

        for page in 0..3 {
            let [keys, values] = store.parts(1, page, 1);
            let untouched = page == 1;
            assert_eq!(keys.iter().all(|byte| *byte == 0), untouched);
            assert_eq!(values.iter().all(|byte| *byte == 0), untouched);
        }
    }
}
