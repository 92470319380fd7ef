//! The layers whose gradient candle would spread over a dozen small tensors, each as one operation with a hand-written
//! backward pass.

mod attention;
mod cross_entropy;
mod rms_norm;
mod swiglu;

use candle_core::{CpuStorage, Layout, Result, Tensor, bail};

pub(crate) use attention::{Attention, Segments};
pub(crate) use cross_entropy::CrossEntropy;
pub(crate) use rms_norm::RmsNorm;
pub(crate) use swiglu::SwiGlu;

/// The numbers of a contiguous operand.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("an operand is not contiguous") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The numbers of a tensor, in row-major order.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// Cuts `rows` rows into as many runs as the machine has cores.
fn runs(rows: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    rows.div_ceil(cores).max(1)
}

/// Calls `work(row, out_row)` for each row of `out`, on every core; rows do not see each other.
fn each_row(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let run = runs(out.len() / width);
    std::thread::scope(|scope| {
        for (index, part) in out.chunks_mut(run * width).enumerate() {
            let work = &work;
            scope.spawn(move || {
                for (row, out) in part.chunks_exact_mut(width).enumerate() {
                    work(index * run + row, out);
                }
            });
        }
    });
}

/// The scalar product, in eight partial sums that a compiler can keep in vector registers.
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `out += factor * x`
#[inline]
fn axpy(out: &mut [f32], factor: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += factor * x;
    }
}

/// Compares an operation's backward pass with the slope of its forward pass.
#[cfg(test)]
fn assert_gradient(shape: &[usize], forward: impl Fn(&Tensor) -> Result<Tensor>) {
    use candle_core::{Device, Var};
    let count: usize = shape.iter().product();
    let mut dice = crate::dice::Dice::new(11);
    let at: Vec<f32> = (0..count).map(|_| dice.normal()).collect();
    let loss = |at: &[f32]| -> (Tensor, Var) {
        let var = Var::from_vec(at.to_vec(), shape, &Device::Cpu).expect("shape");
        let out = forward(var.as_tensor()).expect("forward");
        let scale: Vec<f32> = (0..out.elem_count()).map(|i| ((i % 7) as f32) - 2.5).collect();
        let scale = Tensor::from_vec(scale, out.shape(), &Device::Cpu).expect("shape");
        ((out * scale).expect("product").sum_all().expect("sum"), var)
    };
    let (value, var) = loss(&at);
    let gradient = values(value.backward().expect("backward").get(&var).expect("gradient")).expect("values");
    for index in 0..count {
        let slope = |step: f32| {
            let mut moved = at.clone();
            moved[index] += step;
            loss(&moved).0.to_scalar::<f32>().expect("scalar")
        };
        let expected = (slope(1e-2) - slope(-1e-2)) / 2e-2;
        assert!(
            (gradient[index] - expected).abs() < 0.02 * (1.0 + expected.abs()),
            "{index}: {} for {expected}",
            gradient[index]
        );
    }
}
