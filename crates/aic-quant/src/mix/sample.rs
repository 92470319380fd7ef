//! What a type does to a tensor, told from some of its rows.
use crate::codec::{decode_into, encode_into};
use crate::recipe::{check_finite, weights};
use crate::{DType, Importance, Result, TensorInfo, TensorSource};

/// About how many numbers of a tensor are looked at.
const SAMPLE: usize = 1 << 18;

/// The error of each of `types` on `tensor`: Σ mⱼ·Δᵢⱼ² / Σ mⱼ·wᵢⱼ² over evenly spread rows i, where m is the importance of
/// column j, or 1. That is the noise in the layer's output relative to the output, if its inputs are uncorrelated.
///
/// Infinite if the type cannot hold the numbers.
pub(super) fn errors(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    types: &[DType],
    importance: Option<&Importance>,
) -> Result<Vec<f64>> {
    let values = rows(source, tensor)?;
    let importance = weights(importance, tensor)?;
    let energy = weighted(&values, importance.as_deref());
    // Inputs that calibration never saw say nothing about the columns: then all count alike.
    let importance = importance.filter(|_| energy > 0.0);
    let energy = if importance.is_some() { energy } else { weighted(&values, None) };
    let error = |dtype: &DType| -> Result<f64> {
        if *dtype == tensor.dtype || energy == 0.0 {
            return Ok(0.0);
        }
        let changed = weighted(&differences(&values, importance.as_deref(), *dtype)?, importance.as_deref());
        Ok(if changed.is_finite() { changed / energy } else { f64::INFINITY })
    };
    types.iter().map(error).collect()
}

/// Evenly spread rows of `tensor`, as many as make a [`SAMPLE`].
fn rows(source: &dyn TensorSource, tensor: &TensorInfo) -> Result<Vec<f32>> {
    let length = tensor.row_length();
    if tensor.elements() == 0 {
        return Ok(Vec::new());
    }
    let all = tensor.elements() / length as u64;
    let count = all.min(SAMPLE.div_ceil(length) as u64);
    let mut values = vec![0.0; count as usize * length];
    let mut bytes = vec![0; tensor.row_bytes()];
    for (at, out) in values.chunks_mut(length).enumerate() {
        let row = (u128::from(all) * (2 * at as u128 + 1) / (2 * u128::from(count))) as u64;
        source.read_into(tensor, row * tensor.row_bytes() as u64, &mut bytes)?;
        decode_into(&bytes, tensor.dtype, out)?;
    }
    check_finite(tensor, &values)?;
    Ok(values)
}

/// What becoming `dtype` takes from `values`.
fn differences(values: &[f32], importance: Option<&[f32]>, dtype: DType) -> Result<Vec<f32>> {
    let mut bytes = vec![0; values.len() / dtype.block_size() * dtype.block_bytes()];
    encode_into(values, importance, dtype, &mut bytes)?;
    let mut back = vec![0.0; values.len()];
    decode_into(&bytes, dtype, &mut back)?;
    back.iter_mut().zip(values).for_each(|(back, value)| *back -= value);
    Ok(back)
}

/// Σ mⱼ·xᵢⱼ².
fn weighted(values: &[f32], importance: Option<&[f32]>) -> f64 {
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    let Some(importance) = importance else { return values.iter().map(square).sum() };
    let row =
        |row: &[f32]| -> f64 { row.iter().zip(importance).map(|(x, m)| square(x) * f64::from(*m)).sum() };
    values.chunks(importance.len()).map(row).sum()
}

#[cfg(test)]
#[cfg(feature = "engine")]
mod tests {
    use super::*;
    use crate::encode;
    use crate::gguf::{File, Metadata, Writer};

    fn source(values: &[f32], columns: usize) -> File {
        let mut writer = Writer::new(Metadata::new());
        writer.tensor("output.weight", &[values.len() / columns, columns], DType::F32).unwrap();
        File::from_bytes(writer.to_vec(|_| encode(values, DType::F32)).unwrap()).unwrap()
    }

    fn measured(source: &File, types: &[DType], importance: Option<&Importance>) -> Vec<f64> {
        errors(source, &source.tensors()[0], types, importance).unwrap()
    }

    #[test]
    fn fewer_bits_have_more_error_and_the_own_type_none() {
        let values: Vec<f32> = (0..8192).map(|i| (i as f32 * 0.37).sin()).collect();
        let source = source(&values, 256);

        let errors =
            measured(&source, &[DType::F32, DType::Q8_0, DType::Q6_K, DType::Q4_K, DType::Q2_K], None);

        assert_eq!(errors[0], 0.0);
        assert!(errors.is_sorted() && errors[4] > 0.01 && errors[4] < 1.0, "{errors:?}");
    }

    #[test]
    fn only_columns_that_matter_count() {
        // The left half is what Q8_0 holds exactly, the right half is not.
        let row = |i: usize| if i < 32 { (i * 4) as f32 - 127.0 + (i % 2) as f32 } else { (i as f32).sin() };
        let mut values: Vec<f32> = (0..64).map(row).collect();
        values[31] = 127.0;
        let source = source(&values, 64);
        let mut importance = Importance::new();
        let columns: Vec<f64> = (0..64).map(|i| if i < 32 { 1.0 } else { 0.0 }).collect();
        importance.add("output.weight", &columns, 1).unwrap();

        assert!(measured(&source, &[DType::Q8_0], None)[0] > 0.0);
        assert_eq!(measured(&source, &[DType::Q8_0], Some(&importance)), [0.0]);

        let mut nothing = Importance::new();
        nothing.add("output.weight", &[0.0; 64], 1).unwrap();
        assert_eq!(
            measured(&source, &[DType::Q4_0], Some(&nothing)),
            measured(&source, &[DType::Q4_0], None)
        );
    }

    #[test]
    fn numbers_beyond_a_type_make_it_impossible_and_zeros_harm_nothing() {
        assert_eq!(measured(&source(&[1e6; 64], 64), &[DType::F16], None), [f64::INFINITY]);
        assert_eq!(measured(&source(&[0.0; 64], 64), &[DType::Q4_0], None), [0.0]);
    }

    #[test]
    fn large_tensors_are_judged_by_rows_from_everywhere() {
        // The second half of the rows is too fine for its blocks; a sample of the first rows alone would not see it.
        let rows = 4 * SAMPLE / 256;
        let value = |i: usize| if i / 256 < rows / 2 { 1.0 } else { 1.0 + (i % 32) as f32 / 77.0 };
        let values: Vec<f32> = (0..rows * 256).map(value).collect();
        let source = source(&values, 256);
        let sampled = measured(&source, &[DType::Q4_0], None)[0];

        let back = crate::decode(&encode(&values, DType::Q4_0).unwrap(), DType::Q4_0).unwrap();
        let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let whole = sum(&mut values.iter().zip(&back).map(|(a, b)| a - b)) / sum(&mut values.iter().copied());
        assert!((sampled / whole - 1.0).abs() < 0.01, "{sampled} {whole}");
    }
}
