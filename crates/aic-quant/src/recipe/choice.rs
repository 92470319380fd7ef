use crate::codec::decodable;
use crate::{DType, TensorInfo};

/// The type one tensor gets when a model is quantized, and why it is not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) dtype: DType,
    pub(crate) substitution: Option<&'static str>,
}

/// Chooses the type of `tensor` when the model is to become `wanted`.
///
/// - Vectors (norms, biases) become F32: they are small and everything passes through them.
/// - Matrices become `wanted` if their rows divide into its blocks; otherwise Q8_0, otherwise F16.
/// - A matrix already quantized to no more bits than `wanted` stays as it is: more bits would not bring anything back.
/// - Types without a decoder stay as they are.
pub(crate) fn choose(tensor: &TensorInfo, wanted: DType) -> Choice {
    let keep = |reason| Choice { dtype: tensor.dtype, substitution: Some(reason) };
    if !decodable(tensor.dtype) {
        return keep("its type cannot be decoded");
    }
    if tensor.shape.len() != 2 {
        return Choice { dtype: DType::F32, substitution: None };
    }
    if tensor.dtype.is_quantized() && tensor.dtype.bits_per_weight() <= wanted.bits_per_weight() {
        let substitution = (tensor.dtype != wanted).then_some("it is already quantized to no more bits");
        return Choice { dtype: tensor.dtype, substitution };
    }
    let fits = |dtype: DType| tensor.row_length().is_multiple_of(dtype.block_size());
    let fallback = |dtype, reason| Choice { dtype, substitution: Some(reason) };
    match () {
        () if fits(wanted) => Choice { dtype: wanted, substitution: None },
        () if fits(DType::Q8_0) => fallback(DType::Q8_0, "its rows do not divide into the type's blocks"),
        () => fallback(DType::F16, "its rows do not divide into blocks of 32"),
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
    fn matrices_get_the_type_vectors_stay_full() {
        assert_eq!(chosen(&[8, 512], DType::F16, DType::Q4_K), (DType::Q4_K, false));
        assert_eq!(chosen(&[512], DType::F16, DType::Q4_K), (DType::F32, false));
    }

    #[test]
    fn rows_that_do_not_divide_fall_back_step_by_step() {
        assert_eq!(chosen(&[8, 96], DType::F16, DType::Q4_K), (DType::Q8_0, true));
        assert_eq!(chosen(&[8, 50], DType::F16, DType::Q4_K), (DType::F16, true));
    }

    #[test]
    fn quantized_matrices_never_grow() {
        assert_eq!(chosen(&[8, 256], DType::Q4_K, DType::Q8_0), (DType::Q4_K, true));
        assert_eq!(chosen(&[8, 256], DType::Q8_0, DType::Q8_0), (DType::Q8_0, false));
        assert_eq!(chosen(&[8, 256], DType::Q8_0, DType::Q4_K), (DType::Q4_K, false));
        assert_eq!(chosen(&[8, 256], DType::IQ2_S, DType::Q4_K), (DType::IQ2_S, true));
    }
}
