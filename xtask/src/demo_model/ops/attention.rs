use std::{ops::Range, sync::Arc};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{axpy, dot, floats, values};

/// Texts laid one after the other in one batch: each attends to itself alone, so nothing is padded.
#[derive(Clone, Debug)]
pub(crate) struct Segments(Arc<[Range<usize>]>);

impl Segments {
    pub(crate) fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let ranges = lengths.into_iter().scan(0, |start, length| {
            let range = *start..*start + length;
            *start = range.end;
            Some(range)
        });
        Self(ranges.collect())
    }
}

/// Causal grouped-query attention with rotary positions (Su et al. 2021; pairs of neighbours, as llama.cpp's `norm`).
///
/// A row of the operand is `[queries | keys | values]`; a row of the result is the heads beside each other.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) theta: f32,
    pub(crate) segments: Segments,
}

impl Attention {
    fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    fn row_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_width
    }

    /// Where the key and the value of a head stand in a row.
    fn key_and_value(&self, head: usize) -> (usize, usize) {
        let key = self.query_width() + head * self.kv_heads / self.heads * self.head_width;
        (key, key + self.kv_heads * self.head_width)
    }

    /// Turns queries and keys by their positions; `direction` -1 turns back.
    fn rotate(&self, rows: &mut [f32], direction: f32) {
        let turned = self.query_width() + self.kv_heads * self.head_width;
        let half = self.head_width / 2;
        let speeds: Vec<f32> =
            (0..half).map(|i| self.theta.powf(-2.0 * i as f32 / self.head_width as f32)).collect();
        for (position, row) in rows.chunks_exact_mut(self.row_width()).enumerate() {
            let turns: Vec<(f32, f32)> =
                speeds.iter().map(|speed| (position as f32 * speed).sin_cos()).collect();
            for head in row[..turned].chunks_exact_mut(self.head_width) {
                for (pair, (sin, cos)) in head.as_chunks_mut::<2>().0.iter_mut().zip(&turns) {
                    let sin = sin * direction;
                    *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
                }
            }
        }
    }

    /// Attention weights of the query in `row` for the rows up to and including it.
    fn weights(&self, rows: &[f32], row: usize, head: usize) -> Vec<f32> {
        let (width, row_width) = (self.head_width, self.row_width());
        let query = &rows[row * row_width + head * width..][..width];
        let (key, _) = self.key_and_value(head);
        let scale = 1.0 / (width as f32).sqrt();
        let mut weights: Vec<f32> =
            (0..=row).map(|other| scale * dot(query, &rows[other * row_width + key..][..width])).collect();
        let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        weights.iter_mut().for_each(|weight| *weight = (*weight - largest).exp());
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        weights
    }

    /// One text's result, from its rows.
    fn forward(&self, rows: &[f32], out: &mut [f32]) {
        let (width, row_width) = (self.head_width, self.row_width());
        let mut rows = rows.to_vec();
        self.rotate(&mut rows, 1.0);
        for (row, out) in out.chunks_exact_mut(self.query_width()).enumerate() {
            for (head, out) in out.chunks_exact_mut(width).enumerate() {
                let (_, value) = self.key_and_value(head);
                for (other, weight) in self.weights(&rows, row, head).into_iter().enumerate() {
                    axpy(out, weight, &rows[other * row_width + value..][..width]);
                }
            }
        }
    }

    /// One text's gradient: `out` has the shape of `rows`, `gradient` that of the result.
    fn backward(&self, rows: &[f32], gradient: &[f32], out: &mut [f32]) {
        let mut rows = rows.to_vec();
        self.rotate(&mut rows, 1.0);
        for (row, gradient) in gradient.chunks_exact(self.query_width()).enumerate() {
            for (head, gradient) in gradient.chunks_exact(self.head_width).enumerate() {
                self.backward_head(&rows, row, head, gradient, out);
            }
        }
        self.rotate(out, -1.0);
    }

    fn backward_head(&self, rows: &[f32], row: usize, head: usize, gradient: &[f32], out: &mut [f32]) {
        let (width, row_width) = (self.head_width, self.row_width());
        let (key, value) = self.key_and_value(head);
        let query = row * row_width + head * width;
        let weights = self.weights(rows, row, head);
        let pulls: Vec<f32> =
            (0..=row).map(|other| dot(gradient, &rows[other * row_width + value..][..width])).collect();
        let mean = dot(&weights, &pulls);
        let scale = 1.0 / (width as f32).sqrt();
        for (other, (weight, pull)) in weights.into_iter().zip(pulls).enumerate() {
            let other = other * row_width;
            let score = scale * weight * (pull - mean);
            axpy(&mut out[query..][..width], score, &rows[other + key..][..width]);
            axpy(&mut out[other + key..][..width], score, &rows[query..][..width]);
            axpy(&mut out[other + value..][..width], weight, gradient);
        }
    }

    /// Calls `work(segment, its part of out)` for each text, the texts dealt out to all cores.
    fn each_segment(&self, out: &mut [f32], width: usize, work: impl Fn(&Range<usize>, &mut [f32]) + Sync) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut hands: Vec<Vec<(&Range<usize>, &mut [f32])>> = (0..cores).map(|_| Vec::new()).collect();
        let mut rest = out;
        for (index, segment) in self.segments.0.iter().enumerate() {
            let (part, after) = rest.split_at_mut(segment.len() * width);
            hands[index % cores].push((segment, part));
            rest = after;
        }
        std::thread::scope(|scope| {
            for hand in hands {
                let work = &work;
                scope.spawn(move || hand.into_iter().for_each(|(segment, part)| work(segment, part)));
            }
        });
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention-with-gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = floats(storage, layout)?;
        let (count, row_width) = layout.shape().dims2()?;
        let mut out = vec![0f32; count * self.query_width()];
        self.each_segment(&mut out, self.query_width(), |segment, out| {
            self.forward(&rows[segment.start * row_width..segment.end * row_width], out);
        });
        Ok((CpuStorage::F32(out), (count, self.query_width()).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, gradients) = (values(x)?, values(gradient)?);
        let (row_width, width) = (self.row_width(), self.query_width());
        let mut out = vec![0f32; rows.len()];
        self.each_segment(&mut out, row_width, |segment, out| {
            let gradient = &gradients[segment.start * width..segment.end * width];
            self.backward(&rows[segment.start * row_width..segment.end * row_width], gradient, out);
        });
        Ok(Some(Tensor::from_vec(out, x.shape(), x.device())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::{super::assert_gradient, *};

    fn attention() -> Attention {
        Attention {
            heads: 4,
            kv_heads: 2,
            head_width: 4,
            theta: 10000.0,
            segments: Segments::of_lengths([3, 2]),
        }
    }

    #[test]
    fn gradient_is_the_slope() {
        assert_gradient(&[5, 32], |x| x.apply_op1(attention()));
    }

    #[test]
    fn texts_of_one_batch_do_not_see_each_other() {
        let rows: Vec<f32> = (0..5 * 32).map(|i| (i as f32 * 0.37).sin()).collect();
        let both = Tensor::from_vec(rows, (5, 32), &Device::Cpu).expect("tensor");
        let second = both.narrow(0, 3, 2).expect("rows").contiguous().expect("rows");
        let alone = Attention { segments: Segments::of_lengths([2]), ..attention() };
        let together = values(&both.apply_op1(attention()).expect("forward")).expect("values");
        assert_eq!(together[3 * 16..], values(&second.apply_op1(alone).expect("forward")).expect("values"));
    }
}
