use super::family::Family;
use super::json::Json;
use super::rope::Rope;
use crate::Result;
use crate::gguf::Metadata;

/// The metadata a GGUF file of the model would have, without its tokenizer.
pub(super) fn describe(family: Family, config: &Json, rope: Option<&Rope>) -> Result<Metadata> {
    let architecture = family.architecture();
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture);
    let mut put = |name: &str, value: u32| metadata.insert(format!("{architecture}.{name}"), value);
    put("block_count", config.size("num_hidden_layers")?);
    put("context_length", config.size("max_position_embeddings")?);
    put("embedding_length", config.size("hidden_size")?);
    put("feed_forward_length", config.size("intermediate_size")?);
    put("attention.head_count", config.size("num_attention_heads")?);
    put("attention.head_count_kv", kv_heads(config)?);
    if let Some(size) = config.optional_size("head_dim") {
        put("attention.key_length", size);
        put("attention.value_length", size);
    }
    let mut put = |name: &str, value: f64| metadata.insert(format!("{architecture}.{name}"), value as f32);
    let [rms, layer] = ["rms_norm_eps", "layer_norm_eps"].map(|key| config.float(key));
    match rope {
        Some(_) => put("attention.layer_norm_rms_epsilon", rms.unwrap_or(1e-6)),
        None => put("attention.layer_norm_epsilon", layer.unwrap_or(1e-12)),
    };
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        // Of Gemma 2 an absent key stands for a cap; `null` for none.
        match config.value.get(key) {
            Some(cap) => put(key, cap.as_f64().unwrap_or(0.0)),
            None => None,
        };
    }
    if let Some(scalar) = config.float("query_pre_attn_scalar") {
        put("attention.scale", scalar.powf(-0.5));
    }
    rope.inspect(|rope| rope.describe(architecture, &mut metadata));
    describe_windows(&mut metadata, architecture, config);
    Ok(metadata)
}

pub(super) fn kv_heads(config: &Json) -> Result<u32> {
    config.optional_size("num_key_value_heads").map_or_else(|| config.size("num_attention_heads"), Ok)
}

/// Numbers of a query of one head.
pub(super) fn head_size(config: &Json) -> Result<u32> {
    let heads = config.size("num_attention_heads")?;
    let whole = || Ok(config.size("hidden_size")?.checked_div(heads).unwrap_or(0));
    config.optional_size("head_dim").map_or_else(whole, Ok)
}

/// Which layers see only the tokens just before, and how many of them.
fn describe_windows(metadata: &mut Metadata, architecture: &str, config: &Json) {
    let used = config.flag("use_sliding_window").unwrap_or(true);
    let Some(window) = config.optional_size("sliding_window").filter(|_| used) else { return };
    metadata.insert(format!("{architecture}.attention.sliding_window"), window);
    let pattern = format!("{architecture}.attention.sliding_window_pattern");
    let kinds = config.value.get("layer_types").and_then(|kinds| kinds.as_array());
    if let Some(kinds) = kinds {
        let is_local: Vec<bool> = kinds.iter().map(|kind| kind == "sliding_attention").collect();
        metadata.insert(pattern, is_local);
    } else if let Some(period) = config.optional_size("sliding_window_pattern") {
        metadata.insert(pattern, period);
    } else if let (Some(full), Some(layers)) =
        (config.optional_size("max_window_layers"), config.optional_size("num_hidden_layers"))
    {
        metadata.insert(pattern, (0..layers.min(1 << 16)).map(|layer| layer >= full).collect::<Vec<bool>>());
    }
}
