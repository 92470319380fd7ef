//! Whether instructions do what they should, found out before they are used.
use super::{Packed, Product, Scratch, multiply};
use crate::kernels::{InstructionSet, Pool};
use crate::{DType, Result};

/// All that can be packed.
pub(super) const TYPES: [DType; 16] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::IQ4_NL,
    DType::MXFP4,
    DType::Q2_K,
    DType::Q3_K,
    DType::Q4_K,
    DType::Q5_K,
    DType::Q6_K,
    DType::IQ4_XS,
];
/// More than a panel, and not a whole number of them.
const ROWS: usize = 37;
const COLUMNS: usize = 512;
/// For all that are multiplied at once: 8 and 4 and 2 and 1 rows, and a few strips of tiles.
const TOKENS: [usize; 2] = [15, 43];

/// Whether small products with `set` are those without special instructions, with weights of every type; warns if not.
pub(in crate::kernels) fn try_out(set: InstructionSet) -> bool {
    let wrong = TYPES.into_iter().find(|dtype| !is_right(set, *dtype).unwrap_or(false));
    if let Some(dtype) = wrong {
        tracing::warn!(instructions = %set, %dtype, "products are wrong on this processor, lesser instructions are used");
    }
    wrong.is_none()
}

fn is_right(set: InstructionSet, dtype: DType) -> Result<bool> {
    let pool = Pool::new(1)?;
    let pack = |set| {
        // Without the second highest bit, no 16-bit or 32-bit float is infinite or none.
        let fill = |rows: std::ops::Range<usize>, out: &mut [u8]| {
            let at = rows.start * out.len();
            out.iter_mut().enumerate().for_each(|(i, byte)| *byte = noise(at + i) as u8 & 0xbf);
            Ok(())
        };
        Packed::pack_untried(dtype, ROWS, COLUMNS, set, &pool, fill)
    };
    let (weights, expected) = (pack(set)?, pack(InstructionSet::Scalar)?);
    let input: Vec<f32> = (0..TOKENS[1] * COLUMNS).map(|i| noise(i) as f32 / 65536.0 - 0.5).collect();
    Ok(TOKENS.iter().all(|tokens| {
        let input = &input[..tokens * COLUMNS];
        let [output, expected] = [&weights, &expected].map(|weights| product(weights, input, *tokens, &pool));
        agree(&output, &expected, &bounds(&weights, input))
    }))
}

/// Whether all results are numbers and close enough.
fn agree(output: &[f32], expected: &[f32], bounds: &[f32]) -> bool {
    output.iter().zip(expected).zip(bounds).all(|((a, b), bound)| (a - b).abs() <= *bound)
}

fn product(weights: &Packed, input: &[f32], tokens: usize, pool: &Pool) -> Vec<f32> {
    let mut output = vec![f32::NAN; tokens * ROWS];
    multiply(pool, &mut Scratch::default(), input, tokens, &mut [Product { weights, output: &mut output }]);
    output
}

/// What rounding input to 8 bits, or input and weights to bfloat16, may make of a difference: well below 1 % of the sum of all
/// products without their signs.
fn bounds(weights: &Packed, input: &[f32]) -> Vec<f32> {
    let mut rows = vec![0.0; ROWS * COLUMNS];
    for (index, row) in rows.chunks_mut(COLUMNS).enumerate() {
        weights.row(index, row);
    }
    let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f32>();
    input
        .chunks(COLUMNS)
        .flat_map(|input| rows.chunks(COLUMNS).map(move |row| 0.01 * sum(row, input)))
        .collect()
}

/// Sixteen bits that look random.
fn noise(index: usize) -> u16 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_machine_has_passes() {
        assert!(try_out(InstructionSet::Scalar));
    }

    #[test]
    fn one_result_that_is_off_or_none_fails() {
        assert!(agree(&[1.0, 2.05], &[1.0, 2.0], &[0.1; 2]));
        assert!(!agree(&[1.0, 2.2], &[1.0, 2.0], &[0.1; 2]));
        assert!(!agree(&[1.0, f32::NAN], &[1.0, 2.0], &[0.1; 2]));
    }

    #[test]
    fn trial_is_of_all_types_that_can_be_packed() {
        for dtype in DType::all() {
            assert_eq!(Packed::bytes_of(dtype, 16, 256).is_some(), TYPES.contains(&dtype), "{dtype}");
        }
    }
}
