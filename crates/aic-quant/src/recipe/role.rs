use crate::TensorInfo;

/// What a weight does in a model of the GGUF family, told from its name as llama.cpp's quantizer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Output,
    TokenEmbedding,
    AttentionQ,
    AttentionK,
    /// Values, or a fused matrix that holds them.
    AttentionV,
    AttentionOutput,
    FeedForwardDown,
    Other,
}

impl Role {
    pub(super) fn of(name: &str) -> Self {
        const PARTS: [(&str, Role); 7] = [
            ("attn_qkv.weight", Role::AttentionV),
            ("attn_kv_b.weight", Role::AttentionV),
            ("attn_v.weight", Role::AttentionV),
            ("attn_k.weight", Role::AttentionK),
            ("attn_q.weight", Role::AttentionQ),
            ("attn_output.weight", Role::AttentionOutput),
            ("ffn_down", Role::FeedForwardDown),
        ];
        match name {
            "output.weight" => Self::Output,
            "token_embd.weight" | "per_layer_token_embd.weight" => Self::TokenEmbedding,
            _ => PARTS.iter().find(|(part, _)| name.contains(part)).map_or(Self::Other, |(_, role)| *role),
        }
    }
}

/// The layer a tensor belongs to, and the rest of its name: `blk.7.attn_v.weight` is `attn_v.weight` of layer 7.
pub(crate) fn layer(name: &str) -> (Option<u64>, &str) {
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match parts.and_then(|(number, part)| Some((number.parse().ok()?, part))) {
        Some((number, part)) => (Some(number), part),
        None => (None, name),
    }
}

/// Matrices that stay as they are although their names end like weights: small, and everything passes through them.
///
/// The list is that of `tensor_allows_quantization` in llama.cpp's `src/llama-quant.cpp`, ggml 0.25, without the parts for
/// a single architecture.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
];

/// Whether `tensor` is a weight that may be quantized: a matrix, or a stack of expert matrices, and none of the small ones.
pub(crate) fn is_weight(tensor: &TensorInfo) -> bool {
    let name = tensor.name.as_str();
    tensor.shape.len() >= 2
        && name.ends_with("weight")
        && !matches!(name, "position_embd.weight" | "token_types.weight")
        && !KEPT.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn only_matrices_that_are_not_small_helpers_are_weights() {
        let weight =
            |name: &str, shape: &[usize]| is_weight(&TensorInfo::new(name, shape, DType::F16).unwrap());

        assert!(weight("blk.0.attn_q.weight", &[8, 32]));
        assert!(weight("blk.0.ffn_down_exps.weight", &[4, 8, 32]));
        assert!(!weight("blk.0.attn_norm.weight", &[32]));
        assert!(!weight("blk.0.attn_q_norm.weight", &[4, 32]));
        assert!(!weight("blk.0.ffn_gate_inp.weight", &[4, 32]));
        assert!(!weight("blk.0.ssm_conv1d.weight", &[8, 4]));
        assert!(!weight("blk.0.ssm_a", &[8, 32]));
        assert!(!weight("position_embd.weight", &[8, 32]));
    }

    #[test]
    fn layers_are_read_from_names() {
        assert_eq!(layer("blk.17.ffn_up.weight"), (Some(17), "ffn_up.weight"));
        assert_eq!(layer("output.weight"), (None, "output.weight"));
        assert_eq!(layer("blk.x.ffn_up.weight"), (None, "blk.x.ffn_up.weight"));
    }
}
