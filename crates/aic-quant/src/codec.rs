use half::{bf16, f16};

use crate::{DType, Error, Result};

/// Turns numbers into the bytes of `dtype`; NaN becomes whatever the type makes of it, for quantized types 0.
///
/// `values` are whole rows, one after the other. Quantizing uses all cores.
///
/// # Errors
/// [`Error::UnsupportedDType`] for types without an encoder, [`Error::Tensor`] if the numbers do not divide into blocks.
pub fn encode(values: &[f32], dtype: DType) -> Result<Vec<u8>> {
    match dtype {
        DType::F32 => Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        DType::F16 => Ok(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
        DType::BF16 => Ok(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
        _ => {
            check_blocks(values.len(), dtype.block_size(), dtype)?;
            blocks::encode(values, dtype)
        }
    }
}

/// Turns the bytes of `dtype` back into numbers.
///
/// # Errors
/// [`Error::UnsupportedDType`] for types without a decoder, [`Error::Tensor`] if the bytes are not whole blocks.
pub fn decode(bytes: &[u8], dtype: DType) -> Result<Vec<f32>> {
    check_blocks(bytes.len(), dtype.block_bytes(), dtype)?;
    match dtype {
        DType::F32 => Ok(numbers(bytes, f32::from_le_bytes)),
        DType::F16 => Ok(numbers(bytes, |raw| f16::from_le_bytes(raw).to_f32())),
        DType::BF16 => Ok(numbers(bytes, |raw| bf16::from_le_bytes(raw).to_f32())),
        DType::F64 => Ok(numbers(bytes, |raw| f64::from_le_bytes(raw) as f32)),
        _ => blocks::decode(bytes, dtype),
    }
}

fn numbers<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|raw| decode(*raw)).collect()
}

fn check_blocks(length: usize, block: usize, dtype: DType) -> Result<()> {
    if length.is_multiple_of(block) {
        return Ok(());
    }
    Err(Error::tensor(
        "data",
        format!("has length {length}, which does not divide into {dtype} blocks of {block}"),
    ))
}

/// Without the tensor library there are no quantized types.
#[cfg(not(feature = "candle"))]
mod blocks {
    use super::{DType, Error, Result};

    const SUPPORTED: &str = "F32, F16, BF16 (quantized types need the feature `candle`)";

    pub(super) fn encode(_values: &[f32], dtype: DType) -> Result<Vec<u8>> {
        Err(Error::UnsupportedDType { dtype, action: "encoded", supported: SUPPORTED })
    }

    pub(super) fn decode(_bytes: &[u8], dtype: DType) -> Result<Vec<f32>> {
        Err(Error::UnsupportedDType { dtype, action: "decoded", supported: SUPPORTED })
    }
}

/// Quantized types, by candle's k-quants.
#[cfg(feature = "candle")]
pub(crate) mod blocks {
    use std::borrow::Cow;
    use std::thread;

    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use candle_core::{Device, Tensor};

    use super::{DType, Error, Result};

    const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K";
    /// Fewest numbers worth a thread of their own.
    const SMALLEST_SHARE: usize = 1 << 18;

    /// The tensor library's name of a type that can be stored in a file and computed with.
    pub(crate) fn ggml(dtype: DType) -> Option<GgmlDType> {
        match dtype {
            DType::F32 => Some(GgmlDType::F32),
            DType::F16 => Some(GgmlDType::F16),
            DType::BF16 => Some(GgmlDType::BF16),
            DType::Q4_0 => Some(GgmlDType::Q4_0),
            DType::Q4_1 => Some(GgmlDType::Q4_1),
            DType::Q5_0 => Some(GgmlDType::Q5_0),
            DType::Q5_1 => Some(GgmlDType::Q5_1),
            DType::Q8_0 => Some(GgmlDType::Q8_0),
            DType::Q2_K => Some(GgmlDType::Q2K),
            DType::Q3_K => Some(GgmlDType::Q3K),
            DType::Q4_K => Some(GgmlDType::Q4K),
            DType::Q5_K => Some(GgmlDType::Q5K),
            DType::Q6_K => Some(GgmlDType::Q6K),
            _ => None,
        }
    }

    pub(super) fn encode(values: &[f32], dtype: DType) -> Result<Vec<u8>> {
        let ggml = supported(dtype, "encoded")?;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = values.len().div_ceil(workers).next_multiple_of(dtype.block_size()).max(SMALLEST_SHARE);
        let shares = thread::scope(|scope| {
            let start = |part| scope.spawn(move || encode_share(part, ggml));
            let running: Vec<_> = values.chunks(share).map(start).collect();
            let done = running.into_iter().map(|worker| worker.join().expect("the encoder does not panic"));
            done.collect::<candle_core::Result<Vec<_>>>()
        });
        shares.map(|shares| shares.concat()).map_err(compute("quantizing"))
    }

    fn encode_share(values: &[f32], dtype: GgmlDType) -> candle_core::Result<Vec<u8>> {
        let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
        QTensor::quantize(&tensor, dtype)?.data().map(Cow::into_owned)
    }

    pub(super) fn decode(bytes: &[u8], dtype: DType) -> Result<Vec<f32>> {
        let elements = bytes.len() / dtype.block_bytes() * dtype.block_size();
        let tensor = qtensor(bytes, dtype, &[elements], &Device::Cpu)?;
        let values = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_vec1());
        values.map_err(compute("dequantizing"))
    }

    /// The bytes of a tensor as the tensor library holds them; their number must match shape and type.
    pub(crate) fn qtensor(bytes: &[u8], dtype: DType, shape: &[usize], device: &Device) -> Result<QTensor> {
        let ggml = supported(dtype, "decoded")?;
        let aligned = Aligned::copy(bytes);
        let storage = QStorage::from_data(Cow::Borrowed(aligned.as_slice()), device, ggml);
        storage.and_then(|storage| QTensor::new(storage, shape)).map_err(compute("loading a tensor"))
    }

    fn supported(dtype: DType, action: &'static str) -> Result<GgmlDType> {
        ggml(dtype).ok_or(Error::UnsupportedDType { dtype, action, supported: SUPPORTED })
    }

    pub(crate) fn compute(during: &'static str) -> impl FnOnce(candle_core::Error) -> Error {
        move |error| Error::Compute { during, source: error.into() }
    }

    /// A copy of some bytes at an address that suits every block type: the tensor library insists on it.
    struct Aligned {
        buffer: Vec<u8>,
        start: usize,
        length: usize,
    }

    impl Aligned {
        const ALIGNMENT: usize = 8;

        fn copy(bytes: &[u8]) -> Self {
            let mut buffer = vec![0; bytes.len() + Self::ALIGNMENT];
            let start = buffer.as_ptr().align_offset(Self::ALIGNMENT);
            buffer[start..start + bytes.len()].copy_from_slice(bytes);
            Self { buffer, start, length: bytes.len() }
        }

        fn as_slice(&self) -> &[u8] {
            &self.buffer[self.start..self.start + self.length]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth row with both signs and no zeros.
    fn wave(length: usize) -> Vec<f32> {
        (0..length).map(|i| (i as f32 * 0.37 + 0.2).sin()).collect()
    }

    fn relative_error(dtype: DType) -> f64 {
        let values = wave(4096);
        let back = decode(&encode(&values, dtype).unwrap(), dtype).unwrap();
        let error: f64 = values.iter().zip(&back).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let norm: f64 = values.iter().map(|a| f64::from(*a).powi(2)).sum();
        (error / norm).sqrt()
    }

    #[test]
    fn plain_types_come_back_within_their_precision() {
        assert_eq!(relative_error(DType::F32), 0.0);
        assert!(relative_error(DType::F16) < 1e-3);
        assert!(relative_error(DType::BF16) < 1e-2);
    }

    #[cfg(feature = "candle")]
    #[test]
    fn quantized_types_lose_more_the_fewer_bits_they_have() {
        let errors = [DType::Q8_0, DType::Q6_K, DType::Q5_K, DType::Q4_K].map(relative_error);

        assert!(errors[0] < 0.01 && errors[3] < 0.1, "{errors:?}");
        assert!(errors.is_sorted(), "{errors:?}");
    }

    #[cfg(feature = "candle")]
    #[test]
    fn shares_of_several_threads_make_the_same_bytes_as_one() {
        let values = wave(1 << 20);
        let whole = encode(&values, DType::Q4_K).unwrap();
        let rows: Vec<u8> = values.chunks(256).flat_map(|row| encode(row, DType::Q4_K).unwrap()).collect();
        assert_eq!(whole, rows);
    }

    #[test]
    fn broken_blocks_and_unknown_codecs_are_errors() {
        assert!(matches!(encode(&wave(33), DType::Q8_0), Err(Error::Tensor { .. })));
        assert!(matches!(decode(&[0; 33], DType::Q8_0), Err(Error::Tensor { .. })));
        assert!(matches!(encode(&wave(256), DType::IQ1_S), Err(Error::UnsupportedDType { .. })));
    }
}
