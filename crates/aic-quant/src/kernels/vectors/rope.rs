use super::{Vectors, vectorize};
use crate::kernels::Parts;

/// Which numbers of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Each with the next: GGUF files of llama models.
    Neighbours,
    /// Each of the first half of what is turned with the same of the second half: most others.
    Halves,
}

/// Cosines and sines for some rows, the same for all layers that turn alike.
#[derive(Clone, Debug)]
pub(crate) struct Angles {
    /// `[rows, pairs]`.
    cosines: Vec<f32>,
    sines: Vec<f32>,
    pairs: usize,
}

impl Angles {
    /// The angles of rows at `positions`: each pair turns by its one of `frequencies`, in radians, for each position. `factor`
    /// lengthens what is turned, as YaRN and LongRoPE do; otherwise 1.
    pub(crate) fn new(frequencies: &[f64], factor: f64, positions: impl IntoIterator<Item = usize>) -> Self {
        let mut angles = Self { cosines: Vec::new(), sines: Vec::new(), pairs: frequencies.len() };
        for position in positions {
            for frequency in frequencies {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                angles.cosines.push((cosine * factor) as f32);
                angles.sines.push((sine * factor) as f32);
            }
        }
        angles
    }

    /// Rows there are angles for.
    pub(crate) fn rows(&self) -> usize {
        self.cosines.len() / self.pairs.max(1)
    }

    fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let range = row * self.pairs..(row + 1) * self.pairs;
        (&self.cosines[range.clone()], &self.sines[range])
    }
}

impl Vectors<'_> {
    /// Turns each head of `heads`, `[rows, heads · head_size]`, by the angles of its row, in place
    /// ([Su et al. 2021](https://arxiv.org/abs/2104.09864)). Of a head larger than two times the pairs the rest stays as it is.
    ///
    /// # Panics
    /// If there are not as many rows as angles, or more pairs than a head has.
    pub(crate) fn rope(&self, heads: &mut [f32], head_size: usize, pairs: Pairs, angles: &Angles) {
        let (rows, turned) = (angles.rows(), 2 * angles.pairs);
        assert!(turned <= head_size, "{turned} numbers to turn in heads of {head_size}");
        let width = heads.len() / rows.max(1);
        assert!(width.is_multiple_of(head_size) && heads.len() == rows * width, "angles for {rows} rows");
        let parts = Parts::new(heads);
        self.by_rows(rows, width, |range| {
            for row in range {
                // SAFETY: each row is taken once.
                let heads = unsafe { parts.part(row * width..(row + 1) * width) };
                let (cosines, sines) = angles.row(row);
                vectorize(
                    self.instructions,
                    #[inline(always)]
                    |_| {
                        for head in heads.chunks_exact_mut(head_size) {
                            turn(&mut head[..turned], pairs, cosines, sines);
                        }
                    },
                );
            }
        });
    }
}

#[inline(always)]
fn turn(head: &mut [f32], pairs: Pairs, cosines: &[f32], sines: &[f32]) {
    match pairs {
        Pairs::Neighbours => {
            for ([x, y], (cosine, sine)) in head.as_chunks_mut().0.iter_mut().zip(cosines.iter().zip(sines)) {
                (*x, *y) = turned(*x, *y, *cosine, *sine);
            }
        }
        Pairs::Halves => {
            let (first, second) = head.split_at_mut(cosines.len());
            for ((x, y), (cosine, sine)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
                (*x, *y) = turned(*x, *y, *cosine, *sine);
            }
        }
    }
}

#[inline(always)]
fn turned(x: f32, y: f32, cosine: f32, sine: f32) -> (f32, f32) {
    (x * cosine - y * sine, x * sine + y * cosine)
}
