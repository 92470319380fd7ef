use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{dot, each_row, floats, values};

/// Root-mean-square normalization of each row (Zhang and Sennrich 2019), times a learnt scale per column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsNorm {
    pub(crate) epsilon: f32,
}

impl RmsNorm {
    /// 1 / root mean square of a row.
    fn factor(self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.epsilon).sqrt()
    }

    fn input_gradient(self, x: &[f32], scale: &[f32], gradient: &[f32]) -> Vec<f32> {
        let width = scale.len();
        let mut out = vec![0f32; x.len()];
        each_row(&mut out, width, |row, out| {
            let (x, gradient) = (&x[row * width..][..width], &gradient[row * width..][..width]);
            let factor = self.factor(x);
            for ((out, scale), gradient) in out.iter_mut().zip(scale).zip(gradient) {
                *out = scale * gradient * factor;
            }
            let pull = -dot(out, x) * factor * factor / width as f32;
            for (out, x) in out.iter_mut().zip(x) {
                *out += pull * x;
            }
        });
        out
    }

    fn scale_gradient(self, x: &[f32], width: usize, gradient: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; width];
        for (x, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact(width)) {
            let factor = self.factor(x);
            for ((out, x), gradient) in out.iter_mut().zip(x).zip(gradient) {
                *out += x * gradient * factor;
            }
        }
        out
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm-with-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, scale) = (floats(x, x_layout)?, floats(scale, scale_layout)?);
        let width = scale.len();
        let mut out = vec![0f32; x.len()];
        each_row(&mut out, width, |row, out| {
            let x = &x[row * width..][..width];
            let factor = self.factor(x);
            for ((out, x), scale) in out.iter_mut().zip(x).zip(scale) {
                *out = x * factor * scale;
            }
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (inputs, scales, gradients) = (values(x)?, values(scale)?, values(gradient)?);
        let x_gradient = self.input_gradient(&inputs, &scales, &gradients);
        let scale_gradient = self.scale_gradient(&inputs, scales.len(), &gradients);
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(x_gradient, x.shape(), device)?),
            Some(Tensor::from_vec(scale_gradient, scale.shape(), device)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::{super::assert_gradient, *};

    #[test]
    fn gradient_of_the_input_is_the_slope() {
        let scale = Tensor::new(&[1.5f32, -0.5, 1.0, 2.0], &Device::Cpu).expect("tensor");
        assert_gradient(&[3, 4], |x| x.apply_op2(&scale, RmsNorm { epsilon: 1e-5 }));
    }

    #[test]
    fn gradient_of_the_scale_is_the_slope() {
        let x = Tensor::new(&[[1.5f32, -0.5, 1.0], [0.3, 2.0, -1.0]], &Device::Cpu).expect("tensor");
        assert_gradient(&[3], |scale| x.apply_op2(scale, RmsNorm { epsilon: 1e-5 }));
    }
}
