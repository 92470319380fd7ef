use super::level::multiply_add;
use super::{LANES, Vectors, vectorize};
use crate::kernels::Parts;

impl Vectors<'_> {
    /// Root-mean-square norm of each row of `input`, `[rows, weight.len()]`, into `out`
    /// ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)).
    pub(crate) fn rms_norm(&self, input: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        out.copy_from_slice(input);
        self.rms_norm_in_place(out, weight, epsilon);
    }

    /// [`rms_norm`](Self::rms_norm) of rows that are not needed afterwards, as of the heads of queries and keys.
    pub(crate) fn rms_norm_in_place(&self, rows: &mut [f32], weight: &[f32], epsilon: f32) {
        self.each_row(
            rows,
            weight.len(),
            #[inline(always)]
            |row, fused| rms_norm(row, weight, epsilon, fused),
        );
    }

    /// Layer norm of each row of `rows`, `[rows, weight.len()]`, in place ([Ba et al. 2016](https://arxiv.org/abs/1607.06450)).
    pub(crate) fn layer_norm(&self, rows: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
        assert_eq!(weight.len(), bias.len(), "a layer norm has as many weights as biases");
        self.each_row(
            rows,
            weight.len(),
            #[inline(always)]
            |row, fused| layer_norm(row, weight, bias, epsilon, fused),
        );
    }

    #[inline(always)]
    fn each_row(&self, rows: &mut [f32], size: usize, work: impl Fn(&mut [f32], bool) + Sync) {
        let count = rows.len() / size;
        assert_eq!(rows.len(), count * size, "not whole rows of {size} numbers");
        let parts = Parts::new(rows);
        self.by_rows(count, size, |range| {
            // SAFETY: the ranges of rows do not overlap.
            let rows = unsafe { parts.part(range.start * size..range.end * size) };
            vectorize(
                self.instructions,
                #[inline(always)]
                |fused| rows.chunks_exact_mut(size).for_each(|row| work(row, fused)),
            );
        });
    }
}

#[inline(always)]
fn rms_norm(row: &mut [f32], weight: &[f32], epsilon: f32, fused: bool) {
    let mean = squares(row, 0.0, fused) / row.len() as f32;
    let scale = (mean + epsilon).sqrt().recip();
    for (x, weight) in row.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

#[inline(always)]
fn layer_norm(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32, fused: bool) {
    let mean = sum(row) / row.len() as f32;
    let variance = squares(row, mean, fused) / row.len() as f32;
    let scale = (variance + epsilon).sqrt().recip();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = multiply_add((*x - mean) * scale, *weight, *bias, fused);
    }
}

/// The sum of (x − `mean`)², in four groups of lanes.
#[inline(always)]
fn squares(row: &[f32], mean: f32, fused: bool) -> f32 {
    let mut sums = [0.0; 4 * LANES];
    let (chunks, rest) = row.as_chunks::<{ 4 * LANES }>();
    for lanes in chunks {
        for i in 0..4 * LANES {
            let x = lanes[i] - mean;
            sums[i] = multiply_add(x, x, sums[i], fused);
        }
    }
    for (x, sum) in rest.iter().zip(&mut sums) {
        *sum += (x - mean) * (x - mean);
    }
    sums.iter().sum()
}

#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    let mut sums = [0.0; 4 * LANES];
    let (chunks, rest) = row.as_chunks::<{ 4 * LANES }>();
    for lanes in chunks {
        for i in 0..4 * LANES {
            sums[i] += lanes[i];
        }
    }
    rest.iter().zip(&mut sums).for_each(|(x, sum)| *sum += x);
    sums.iter().sum()
}
