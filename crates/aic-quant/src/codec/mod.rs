//! Turning numbers into the bytes of a type, and back.
pub(crate) mod blocks;
#[cfg(test)]
mod blocks_tests;
mod floats;
mod lanes;
mod legacy;
pub(crate) mod nonlinear;
pub(crate) mod superblocks;

use std::thread;

use crate::{DType, Error, Result};

/// Fewest numbers worth a thread of their own.
const SMALLEST_SHARE: usize = 1 << 18;

/// Turns numbers into the bytes of `dtype`; NaN becomes whatever the type makes of it, for quantized types 0.
///
/// `values` are whole rows, one after the other. Quantizing uses all cores.
///
/// # Errors
/// [`Error::UnsupportedDType`] for types without an encoder, [`Error::Tensor`] if the numbers do not divide into blocks.
pub fn encode(values: &[f32], dtype: DType) -> Result<Vec<u8>> {
    check_encodable(dtype)?;
    check_blocks(values.len(), dtype.block_size(), dtype)?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = values.len().div_ceil(workers).next_multiple_of(dtype.block_size()).max(SMALLEST_SHARE);
    let mut bytes = vec![0; values.len() / dtype.block_size() * dtype.block_bytes()];
    if values.len() <= share {
        encode_into(values, None, dtype, &mut bytes)?;
        return Ok(bytes);
    }
    let shares = values.chunks(share).zip(bytes.chunks_mut(share / dtype.block_size() * dtype.block_bytes()));
    thread::scope(|scope| {
        let start = |(values, out)| scope.spawn(move || encode_into(values, None, dtype, out));
        let running: Vec<_> = shares.map(start).collect();
        running.into_iter().try_for_each(|worker| worker.join().expect("the encoder does not panic"))
    })?;
    Ok(bytes)
}

/// Turns the bytes of `dtype` back into numbers.
///
/// # Errors
/// [`Error::UnsupportedDType`] for types without a decoder, [`Error::Tensor`] if the bytes are not whole blocks.
pub fn decode(bytes: &[u8], dtype: DType) -> Result<Vec<f32>> {
    check_blocks(bytes.len(), dtype.block_bytes(), dtype)?;
    let mut values = vec![0.0; bytes.len() / dtype.block_bytes() * dtype.block_size()];
    decode_into(bytes, dtype, &mut values)?;
    Ok(values)
}

/// That numbers can be turned into `dtype`.
pub(crate) fn check_encodable(dtype: DType) -> Result<()> {
    encode_into(&[], None, dtype, &mut [])
}

/// Whether `dtype` can be turned into numbers.
pub(crate) fn decodable(dtype: DType) -> bool {
    decode_into(&[], dtype, &mut []).is_ok()
}

/// Turns `values` into `out`, on the calling thread.
///
/// `values` are whole rows, one after the other, and `out` is exactly as long as they need. `importance` has one number for
/// each column: how much an error there matters, the mean square of the inputs that meet it. Rows are as long as it is.
pub(crate) fn encode_into(
    values: &[f32],
    importance: Option<&[f32]>,
    dtype: DType,
    out: &mut [u8],
) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => floats::encode(values, dtype, out),
        DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 | DType::Q8_0 => {
            legacy::encode(values, importance, dtype, out);
        }
        DType::IQ4_NL | DType::IQ4_XS => nonlinear::encode(values, importance, dtype, out),
        DType::Q2_K | DType::Q3_K | DType::Q4_K | DType::Q5_K | DType::Q6_K => {
            superblocks::encode(values, importance, dtype, out);
        }
        _ => return Err(Error::UnsupportedDType { dtype, action: "encoded", supported: SUPPORTED }),
    }
    Ok(())
}

/// Turns `bytes`, which are whole blocks, into `out`, which is exactly as long as their numbers; on the calling thread.
pub(crate) fn decode_into(bytes: &[u8], dtype: DType, out: &mut [f32]) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 => floats::decode(bytes, dtype, out),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => floats::decode(bytes, dtype, out),
        DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 | DType::Q8_0 => {
            legacy::decode(bytes, dtype, out);
        }
        DType::IQ4_NL | DType::IQ4_XS | DType::MXFP4 => nonlinear::decode(bytes, dtype, out),
        DType::Q2_K | DType::Q3_K | DType::Q4_K | DType::Q5_K | DType::Q6_K => {
            superblocks::decode(bytes, dtype, out);
        }
        _ => return Err(Error::UnsupportedDType { dtype, action: "decoded", supported: SUPPORTED }),
    }
    Ok(())
}

const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS";

fn check_blocks(length: usize, block: usize, dtype: DType) -> Result<()> {
    if length.is_multiple_of(block) {
        return Ok(());
    }
    Err(Error::tensor(
        "data",
        format!("has length {length}, which does not divide into {dtype} blocks of {block}"),
    ))
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

    #[cfg(feature = "engine")]
    #[test]
    fn quantized_types_lose_more_the_fewer_bits_they_have() {
        let errors = [DType::Q8_0, DType::Q6_K, DType::Q5_K, DType::Q4_K].map(relative_error);

        assert!(errors[0] < 0.01 && errors[3] < 0.1, "{errors:?}");
        assert!(errors.is_sorted(), "{errors:?}");
    }

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
