use super::json::Json;
use crate::{Error, Result};

/// A `model_type`, as far as tensors and numbers of it have conventions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Phi3,
    Gemma,
    Gemma2,
    Gemma3,
    Bert,
}

impl Family {
    pub(super) fn of(config: &Json) -> Result<Self> {
        match config.text("model_type") {
            Some("llama") => Ok(Self::Llama),
            Some("mistral") => Ok(Self::Mistral),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("qwen3") => Ok(Self::Qwen3),
            Some("phi3") => Ok(Self::Phi3),
            Some("gemma") => Ok(Self::Gemma),
            Some("gemma2") => Ok(Self::Gemma2),
            Some("gemma3_text") => Ok(Self::Gemma3),
            Some("bert") => Ok(Self::Bert),
            other => Err(Error::Unsupported {
                what: "model_type",
                name: other.unwrap_or_default().to_owned(),
                supported: "llama, mistral, qwen2, qwen3, phi3, gemma, gemma2, gemma3, bert",
            }),
        }
    }

    /// The family's name in GGUF.
    pub(super) fn architecture(self) -> &'static str {
        match self {
            Self::Llama | Self::Mistral => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Phi3 => "phi3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Bert => "bert",
        }
    }

    /// Whether norms are stored as what is added to 1.
    pub(super) fn stores_norms_less_one(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Whether rows of queries and keys pair halves of a head, where GGUF has them pair neighbours.
    pub(super) fn is_turned(self) -> bool {
        matches!(self, Self::Llama | Self::Mistral)
    }

    /// The GGUF name of a tensor; `None` for those a model does not need.
    pub(super) fn translate(self, name: &str) -> Option<String> {
        if self == Self::Bert { translate_encoder(name) } else { self.translate_decoder(name) }
    }

    fn translate_decoder(self, name: &str) -> Option<String> {
        match name {
            "lm_head.weight" => return Some("output.weight".to_owned()),
            "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
            "model.norm.weight" => return Some("output_norm.weight".to_owned()),
            _ => {}
        }
        let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (module, kind) = part.rsplit_once('.')?;
        let module = match module {
            "input_layernorm" => "attn_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.qkv_proj" => "attn_qkv",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            "post_attention_layernorm" if matches!(self, Self::Gemma2 | Self::Gemma3) => {
                "post_attention_norm"
            }
            "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
            "post_feedforward_layernorm" => "post_ffw_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            _ => return None,
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
    }
}

fn translate_encoder(name: &str) -> Option<String> {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    let (module, kind) = name.rsplit_once('.')?;
    if let Some(embedding) = module.strip_prefix("embeddings.") {
        let embedding = match embedding {
            "word_embeddings" => "token_embd",
            "position_embeddings" => "position_embd",
            "token_type_embeddings" => "token_types",
            "LayerNorm" => "token_embd_norm",
            _ => return None,
        };
        return Some(format!("{embedding}.{kind}"));
    }
    let (layer, module) = module.strip_prefix("encoder.layer.")?.split_once('.')?;
    let module = match module {
        "attention.self.query" => "attn_q",
        "attention.self.key" => "attn_k",
        "attention.self.value" => "attn_v",
        "attention.output.dense" => "attn_output",
        "attention.output.LayerNorm" => "attn_output_norm",
        "intermediate.dense" => "ffn_up",
        "output.dense" => "ffn_down",
        "output.LayerNorm" => "layer_output_norm",
        _ => return None,
    };
    Some(format!("blk.{layer}.{module}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_are_translated_and_foreign_ones_dropped() {
        let name = |name| Family::Llama.translate(name);
        assert_eq!(name("model.layers.11.self_attn.q_proj.weight").unwrap(), "blk.11.attn_q.weight");
        assert_eq!(name("model.layers.0.self_attn.k_proj.bias").unwrap(), "blk.0.attn_k.bias");
        assert_eq!(name("model.embed_tokens.weight").unwrap(), "token_embd.weight");
        assert_eq!(name("model.layers.0.self_attn.rotary_emb.inv_freq"), None);
        assert_eq!(name("vision.tower.weight"), None);
    }

    #[test]
    fn norm_after_attention_is_the_one_before_the_next_part_but_in_gemma() {
        let norm = "model.layers.3.post_attention_layernorm.weight";
        assert_eq!(Family::Gemma.translate(norm).unwrap(), "blk.3.ffn_norm.weight");
        assert_eq!(Family::Gemma2.translate(norm).unwrap(), "blk.3.post_attention_norm.weight");
    }

    #[test]
    fn names_of_encoders_are_translated_with_and_without_a_prefix() {
        let name = |name| Family::Bert.translate(name);
        let norm = "blk.2.attn_output_norm.bias";
        assert_eq!(name("encoder.layer.2.attention.output.LayerNorm.bias").unwrap(), norm);
        assert_eq!(name("bert.encoder.layer.2.attention.output.LayerNorm.bias").unwrap(), norm);
        assert_eq!(name("embeddings.token_type_embeddings.weight").unwrap(), "token_types.weight");
        assert_eq!(name("pooler.dense.weight"), None);
    }
}
