use std::hint::black_box;

use super::rows::Rows;

/// Vectors in one byte a dimension, a quarter of their size, by which the graph is walked.
///
/// A walk waits for memory more than for arithmetic. What it finds is measured again with the exact vectors, so
/// that rounding decides which candidates are looked at, never what their similarity is.
#[derive(Debug)]
pub(super) struct Codes {
    values: Rows<i8>,
    scales: Vec<f32>,
}

/// One vector in bytes: each value times `scale` is the number it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code<'a> {
    values: &'a [i8],
    scale: f32,
}

impl Code<'_> {
    /// The dot product of what two codes stand for.
    pub(super) fn similarity(self, other: Code<'_>) -> f32 {
        self.scale * other.scale * dot(self.values, other.values) as f32
    }
}

impl Codes {
    pub(super) fn new(dimensions: usize) -> Self {
        Self { values: Rows::new(dimensions), scales: Vec::new() }
    }

    pub(super) fn push(&mut self, code: Code<'_>) {
        self.values.push(code.values);
        self.scales.push(code.scale);
    }

    pub(super) fn set(&mut self, slot: u32, code: Code<'_>) {
        self.values.row_mut(slot).copy_from_slice(code.values);
        self.scales[slot as usize] = code.scale;
    }

    /// Has the memory of all these codes fetched at once, not one after the other as they are compared.
    pub(super) fn touch(&self, slots: &[u32]) {
        black_box(
            slots.iter().fold(0, |bits, &slot| bits ^ self.values.row(slot).first().copied().unwrap_or(0)),
        );
    }

    pub(super) fn get(&self, slot: u32) -> Code<'_> {
        Code { values: self.values.row(slot), scale: self.scales[slot as usize] }
    }
}

/// A code by itself, of a vector that is looked for or about to be kept.
#[derive(Debug)]
pub(super) struct OwnCode {
    values: Vec<i8>,
    scale: f32,
}

impl OwnCode {
    /// Rounds `vector` so that its largest number becomes 127.
    pub(super) fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        Self { values: vector.iter().map(|x| (x / scale).round() as i8).collect(), scale }
    }

    pub(super) fn as_code(&self) -> Code<'_> {
        Code { values: &self.values, scale: self.scale }
    }
}

/// Sixteen sums side by side, of products that fit into 16 bits: so the compiler finds the instructions for many
/// numbers at once. No sum overflows up to two million dimensions.
fn dot(a: &[i8], b: &[i8]) -> i32 {
    let product = |(a, b): (&i8, &i8)| i32::from(i16::from(*a) * i16::from(*b));
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: i32 = a.remainder().iter().zip(b.remainder()).map(product).sum();
    let mut sums = [0; 16];
    for (a, b) in a.zip(b) {
        for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += product(pair);
        }
    }
    sums.iter().sum::<i32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn similarity_of_codes_is_close_to_that_of_the_vectors(
            pairs in prop::collection::vec((-1.0..1.0_f32, -1.0..1.0_f32), 1..70),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let exact: f32 = pairs.iter().map(|(a, b)| a * b).sum();

            let coded = OwnCode::of(&a).as_code().similarity(OwnCode::of(&b).as_code());

            // half a step of at most 1/127 in each factor
            prop_assert!((coded - exact).abs() <= pairs.len() as f32 * 1.01 / 127.0);
        }
    }
}
