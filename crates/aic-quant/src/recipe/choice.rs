use super::role::is_weight;
use crate::codec::decodable;
use crate::{DType, TensorInfo};

/// The type one tensor gets when a model is quantized, and why it is not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) dtype: DType,
    pub(crate) substitution: Option<&'static str>,
}

/// Chooses the type of `tensor` when it is to become `wanted`.
///
/// - Vectors (norms, biases) become F32: they are small and everything passes through them. Small matrices of that kind,
///   such as the gates of experts, stay as they are.
/// - Weights become `wanted` if their rows divide into its blocks; otherwise the [nearest type with blocks of
///   32](smaller_blocks), otherwise F16.
/// - A weight already quantized to no more bits than that stays as it is: more bits would not bring anything back.
/// - Types without a decoder stay as they are.
pub(crate) fn choose(tensor: &TensorInfo, wanted: DType) -> Choice {
    if !is_weight(tensor) {
        return Choice { dtype: unquantized(tensor), substitution: None };
    }
    let keep =
        |reason| Choice { dtype: tensor.dtype, substitution: (tensor.dtype != wanted).then_some(reason) };
    let fitting = fitting(tensor, wanted);
    if !decodable(tensor.dtype) {
        keep("its type cannot be decoded")
    } else if tensor.dtype.is_quantized() && tensor.dtype.bits_per_weight() <= fitting.dtype.bits_per_weight()
    {
        keep("it is already quantized to no more bits")
    } else {
        fitting
    }
}

/// The type of a tensor that is not a weight.
fn unquantized(tensor: &TensorInfo) -> DType {
    if tensor.shape.len() < 2 && decodable(tensor.dtype) { DType::F32 } else { tensor.dtype }
}

/// `wanted`, or what its rows allow.
fn fitting(tensor: &TensorInfo, wanted: DType) -> Choice {
    let fits = |dtype: DType| tensor.row_length().is_multiple_of(dtype.block_size());
    let smaller = smaller_blocks(wanted);
    if fits(wanted) {
        Choice { dtype: wanted, substitution: None }
    } else if fits(smaller) {
        Choice { dtype: smaller, substitution: Some("its rows do not divide into the type's blocks") }
    } else {
        Choice { dtype: DType::F16, substitution: Some("its rows do not divide into blocks of 32") }
    }
}

/// The type with blocks of 32 that takes the place of one with larger blocks: the next with at least as many bits, as
/// llama.cpp has it (`tensor_type_fallback`).
fn smaller_blocks(dtype: DType) -> DType {
    match dtype {
        DType::Q2_K | DType::Q3_K => DType::Q4_0,
        DType::Q4_K => DType::Q5_0,
        DType::Q5_K => DType::Q5_1,
        DType::IQ4_XS => DType::IQ4_NL,
        _ => DType::Q8_0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(shape: &[usize], from: DType, wanted: DType) -> (DType, bool) {
        let tensor = TensorInfo::new("blk.0.attn_q.weight", shape, from).unwrap();
        let choice = choose(&tensor, wanted);
        (choice.dtype, choice.substitution.is_some())
    }

    #[test]
    fn weights_get_the_type_vectors_stay_full() {
        assert_eq!(chosen(&[8, 512], DType::F16, DType::Q4_K), (DType::Q4_K, false));
        assert_eq!(chosen(&[4, 8, 512], DType::F16, DType::Q4_K), (DType::Q4_K, false));
        assert_eq!(chosen(&[512], DType::F16, DType::Q4_K), (DType::F32, false));
    }

    #[test]
    fn gates_of_experts_stay_as_they_are() {
        for dtype in [DType::F32, DType::BF16] {
            let gate = TensorInfo::new("blk.0.ffn_gate_inp.weight", &[8, 256], dtype).unwrap();
            assert_eq!(choose(&gate, DType::Q4_K), Choice { dtype, substitution: None });
        }
    }

    #[test]
    fn rows_that_do_not_divide_fall_back_step_by_step() {
        assert_eq!(chosen(&[8, 96], DType::F16, DType::Q4_K), (DType::Q5_0, true));
        assert_eq!(chosen(&[8, 96], DType::F16, DType::Q6_K), (DType::Q8_0, true));
        assert_eq!(chosen(&[8, 50], DType::F16, DType::Q4_K), (DType::F16, true));
        assert_eq!(chosen(&[8, 50], DType::F16, DType::Q8_0), (DType::F16, true));
    }

    #[test]
    fn quantized_weights_never_grow() {
        assert_eq!(chosen(&[8, 256], DType::Q4_K, DType::Q8_0), (DType::Q4_K, true));
        assert_eq!(chosen(&[8, 256], DType::Q8_0, DType::Q8_0), (DType::Q8_0, false));
        assert_eq!(chosen(&[8, 256], DType::Q8_0, DType::Q4_K), (DType::Q4_K, false));
        assert_eq!(chosen(&[8, 256], DType::IQ2_S, DType::Q4_K), (DType::IQ2_S, true));
    }

    #[test]
    fn substitutes_do_not_grow_a_quantized_weight_either() {
        assert_eq!(chosen(&[8, 96], DType::Q4_1, DType::Q4_K), (DType::Q4_1, true));
        assert_eq!(chosen(&[8, 96], DType::Q5_0, DType::Q4_K), (DType::Q5_0, true));
    }
}
