use super::{Vectors, functions, vectorize};
use crate::kernels::Parts;

/// Numbers that make a task of their own.
const CHUNK: usize = 4096;

impl Vectors<'_> {
    /// `gate = silu(gate) · up`, number by number: SwiGLU ([Shazeer 2020](https://arxiv.org/abs/2002.05202)).
    pub(crate) fn silu_multiply(&self, gate: &mut [f32], up: &[f32]) {
        self.zip(
            gate,
            up,
            #[inline(always)]
            |gate, up, fused| functions::silu(gate, fused) * up,
        );
    }

    /// `gate = gelu_tanh(gate) · up`, number by number: GEGLU, as in Gemma.
    pub(crate) fn gelu_tanh_multiply(&self, gate: &mut [f32], up: &[f32]) {
        self.zip(
            gate,
            up,
            #[inline(always)]
            |gate, up, fused| functions::gelu_tanh(gate, fused) * up,
        );
    }

    /// `sum += other`, number by number.
    pub(crate) fn add(&self, sum: &mut [f32], other: &[f32]) {
        self.zip(
            sum,
            other,
            #[inline(always)]
            |a, b, _| a + b,
        );
    }

    /// Adds `bias` to each row of `rows`, `[rows, bias.len()]`.
    pub(crate) fn add_bias(&self, rows: &mut [f32], bias: &[f32]) {
        rows.chunks_exact_mut(bias.len()).for_each(|row| self.add(row, bias));
    }

    /// x times the normal distribution's share below x, in place; to within 3·10⁻⁷ · |x|.
    pub(crate) fn gelu(&self, numbers: &mut [f32]) {
        self.map(numbers, functions::gelu);
    }

    pub(crate) fn scale(&self, numbers: &mut [f32], factor: f32) {
        self.map(
            numbers,
            #[inline(always)]
            move |x, _| x * factor,
        );
    }

    /// `cap · tanh(x / cap)` of each number, in place.
    pub(crate) fn softcap(&self, numbers: &mut [f32], cap: f32) {
        self.map(
            numbers,
            #[inline(always)]
            move |x, fused| cap * functions::tanh(x / cap, fused),
        );
    }

    /// Calls `function` with each number, and whether products and sums are fused.
    #[inline(always)]
    fn map(&self, numbers: &mut [f32], function: impl Fn(f32, bool) -> f32 + Copy + Sync) {
        let (count, length) = (numbers.len().div_ceil(CHUNK), numbers.len());
        let parts = Parts::new(numbers);
        self.by_rows(count, CHUNK, |range| {
            // SAFETY: the ranges of chunks do not overlap.
            let numbers = unsafe { parts.part(range.start * CHUNK..(range.end * CHUNK).min(length)) };
            vectorize(
                self.instructions,
                #[inline(always)]
                |fused| {
                    // A copy in here shows the compiler that nothing in the function changes with the numbers.
                    let own = function;
                    for x in numbers {
                        *x = own(*x, fused);
                    }
                },
            );
        });
    }

    /// Puts what `function` makes of each number and its partner in its place.
    #[inline(always)]
    fn zip(
        &self,
        numbers: &mut [f32],
        others: &[f32],
        function: impl Fn(f32, f32, bool) -> f32 + Copy + Sync,
    ) {
        assert_eq!(numbers.len(), others.len(), "there are not as many numbers on both sides");
        let (count, length) = (numbers.len().div_ceil(CHUNK), numbers.len());
        let parts = Parts::new(numbers);
        self.by_rows(count, CHUNK, |range| {
            let range = range.start * CHUNK..(range.end * CHUNK).min(length);
            // SAFETY: the ranges of chunks do not overlap.
            let numbers = unsafe { parts.part(range.clone()) };
            vectorize(
                self.instructions,
                #[inline(always)]
                |fused| {
                    for (x, other) in numbers.iter_mut().zip(&others[range]) {
                        *x = function(*x, *other, fused);
                    }
                },
            );
        });
    }
}
