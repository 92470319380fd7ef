use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{each_row, floats, values};

/// `silu(gate) * up` (Shazeer 2020), where a row holds the gate in its first half and `up` in its second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu-with-gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(storage, layout)?;
        let (rows, width) = layout.shape().dims2()?;
        let half = width / 2;
        let mut out = vec![0f32; rows * half];
        each_row(&mut out, half, |row, out| {
            let (gate, up) = x[row * width..][..width].split_at(half);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * sigmoid(*gate) * up;
            }
        });
        Ok((CpuStorage::F32(out), (rows, half).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)?;
        let half = width / 2;
        let (inputs, gradients) = (values(x)?, values(gradient)?);
        let mut out = vec![0f32; inputs.len()];
        each_row(&mut out, width, |row, out| {
            let (gate, up) = inputs[row * width..][..width].split_at(half);
            let (gate_out, up_out) = out.split_at_mut(half);
            let gradient = &gradients[row * half..][..half];
            for i in 0..half {
                let sigmoid = sigmoid(gate[i]);
                gate_out[i] = gradient[i] * up[i] * sigmoid * (1.0 + gate[i] * (1.0 - sigmoid));
                up_out[i] = gradient[i] * gate[i] * sigmoid;
            }
        });
        Ok(Some(Tensor::from_vec(out, x.shape(), x.device())?))
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::{super::assert_gradient, *};

    #[test]
    fn gradient_is_the_slope() {
        assert_gradient(&[3, 8], |x| x.apply_op1(SwiGlu));
    }
}
