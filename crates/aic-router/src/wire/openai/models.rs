//! The models a server lists.

use serde_json::Value;

use crate::{ModelClass, ModelInfo};

/// Reads the models of `/models`.
///
/// OpenAI lists names alone. What others add is taken: the context's length, and llama.cpp's count of
/// parameters. No list says surely which models make embeddings, so their names do.
pub(crate) fn models(answer: &Value) -> Option<Vec<ModelInfo>> {
    Some(answer["data"].as_array()?.iter().filter_map(model).collect())
}

fn model(entry: &Value) -> Option<ModelInfo> {
    let name = entry["id"].as_str().filter(|name| !name.is_empty())?;
    let model = if embeds(name, entry) { ModelInfo::embedding(name) } else { ModelInfo::chat(name) };
    let class = entry["meta"]["n_params"].as_f64().map(|count| ModelClass::of_size(count / 1e9));
    Some(ModelInfo { context_tokens: context_tokens(entry), class, ..model })
}

fn embeds(name: &str, entry: &Value) -> bool {
    let name = name.to_lowercase();
    let named = ["embed", "bge-", "gte-", "minilm"].iter().any(|part| name.contains(part));
    named || entry["type"].as_str().is_some_and(|kind| kind.starts_with("embedding"))
}

/// In turn of vLLM and SGLang, of llama.cpp (what it was started with before what the model was trained for),
/// of OpenRouter and Together, of Groq, and of Mistral and LM Studio.
fn context_tokens(entry: &Value) -> Option<u64> {
    let meta = &entry["meta"];
    let places = [
        &entry["max_model_len"],
        &meta["n_ctx"],
        &meta["n_ctx_train"],
        &entry["context_length"],
        &entry["context_window"],
        &entry["max_context_length"],
    ];
    places.into_iter().find_map(Value::as_u64).filter(|tokens| *tokens > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Purpose;

    #[test]
    fn lists_of_all_servers_become_models() {
        let list = json!({"object": "list", "data": [
            {"id": "Qwen/Qwen3-8B", "owned_by": "vllm", "max_model_len": 40960},
            {"id": "smol.gguf", "meta": {"n_ctx": 4096, "n_ctx_train": 8192, "n_params": 361_821_120}},
            {"id": "old.gguf", "meta": {"n_ctx_train": 8192}},
            {"id": "BAAI/bge-m3"},
            {"id": "vectors", "type": "embedding"},
            {"object": "model"}]});

        let models = models(&list).unwrap();

        let contexts: Vec<_> = models.iter().map(|model| model.context_tokens).collect();
        assert_eq!(contexts, [Some(40960), Some(4096), Some(8192), None, None]);
        assert_eq!(models[1].class, Some(ModelClass::Tiny));
        let purposes: Vec<_> = models.iter().map(|model| model.purpose).collect();
        assert_eq!(purposes[..3], [Purpose::Chat; 3]);
        assert_eq!(purposes[3..], [Purpose::Embedding; 2]);
    }

    #[test]
    fn what_is_no_list_is_none() {
        assert_eq!(models(&json!({"models": []})), None);
    }
}
