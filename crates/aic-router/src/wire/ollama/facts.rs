//! What Ollama says about its models.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::wire::openai::vector;
use crate::{Ability, Embeddings, LoadedModel, ModelClass, ModelInfo, Purpose};

/// Reads the models of `/api/tags`; `None` if it is not Ollama's answer.
///
/// A model that runs on another host is left out: what a local provider is asked stays in the house.
pub(crate) fn models(tags: &Value) -> Option<Vec<ModelInfo>> {
    Some(tags["models"].as_array()?.iter().filter(|entry| is_here(entry)).filter_map(model).collect())
}

fn is_here(entry: &Value) -> bool {
    entry["remote_host"].as_str().is_none_or(str::is_empty)
}

/// Without better knowledge, models whose family is a BERT make embeddings; names often tell too.
fn model(entry: &Value) -> Option<ModelInfo> {
    let name = entry["name"].as_str()?;
    let family = entry["details"]["family"].as_str().unwrap_or_default();
    let purpose =
        if family.contains("bert") || name.contains("embed") { Purpose::Embedding } else { Purpose::Chat };
    let size = entry["details"]["parameter_size"].as_str().and_then(billions);
    let class = size.map(ModelClass::of_size).filter(|_| purpose == Purpose::Chat);
    Some(ModelInfo { purpose, class, ..ModelInfo::chat(name) }.cannot(Ability::Audio))
}

/// `"8.0B"` or `"361.82M"`.
fn billions(size: &str) -> Option<f64> {
    if let Some(number) = size.strip_suffix('B') {
        return number.parse().ok();
    }
    Some(size.strip_suffix('M')?.parse::<f64>().ok()? / 1000.0)
}

pub(crate) fn is_embedding(model: &ModelInfo) -> bool {
    model.purpose == Purpose::Embedding
}

/// Adds what `/api/show` says about a model; `None` if it neither answers chats nor makes embeddings.
pub(crate) fn with_facts(model: ModelInfo, show: &Value) -> Option<ModelInfo> {
    let context_tokens = context_tokens(&show["model_info"]).or(model.context_tokens);
    let model = ModelInfo { context_tokens, ..model };
    let Some(capabilities) = show["capabilities"].as_array() else {
        return Some(model);
    };
    let has = |name| capabilities.iter().any(|capability| capability == name);
    let purpose = match (has("completion"), has("embedding")) {
        (true, _) => Purpose::Chat,
        (false, true) => Purpose::Embedding,
        (false, false) => return None,
    };
    let abilities =
        [(Ability::Images, "vision"), (Ability::Tools, "tools"), (Ability::Reasoning, "thinking")];
    let mut model = ModelInfo { purpose, ..model };
    model.abilities.extend(abilities.map(|(ability, name)| (ability, has(name))));
    // The sampler keeps to the grammar, whatever the model.
    model.abilities.insert(Ability::Structured, has("completion"));
    Some(model)
}

/// Each architecture has its own name for it.
fn context_tokens(info: &Value) -> Option<u64> {
    let architecture = info["general.architecture"].as_str()?;
    info[format!("{architecture}.context_length")].as_u64().filter(|tokens| *tokens > 0)
}

/// Reads the models of `/api/ps`; `None` if it is not Ollama's answer.
pub(crate) fn loaded(ps: &Value) -> Option<Vec<LoadedModel>> {
    Some(ps["models"].as_array()?.iter().filter_map(loaded_model).collect())
}

fn loaded_model(entry: &Value) -> Option<LoadedModel> {
    Some(LoadedModel {
        name: entry["name"].as_str()?.into(),
        bytes: entry["size"].as_u64(),
        vram_bytes: entry["size_vram"].as_u64(),
        expires_at: entry["expires_at"].as_str().and_then(time),
        context_tokens: entry["context_length"].as_u64().filter(|tokens| *tokens > 0),
    })
}

/// Reads a time of [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339), as in
/// `2024-06-04T14:38:31.83753-07:00`.
fn time(text: &str) -> Option<SystemTime> {
    let instant = |local: &str| humantime::parse_rfc3339(&format!("{local}Z")).ok();
    if let Some(local) = text.strip_suffix('Z') {
        return instant(local);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let offset_size = Duration::from_secs(minutes.checked_mul(60)?);
    match offset.as_bytes()[0] {
        b'+' => instant(local)?.checked_sub(offset_size),
        b'-' => instant(local)?.checked_add(offset_size),
        _ => None,
    }
}

/// Reads the vectors of an answer.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let vectors = answer["embeddings"].as_array()?.iter().map(vector).collect::<Option<_>>()?;
    Some(Embeddings::new(vectors, answer["prompt_eval_count"].as_u64()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_become_models_of_a_purpose_and_a_class() {
        let tags = json!({"models": [
            {"name": "llama3.1:latest", "details": {"family": "llama", "parameter_size": "8.0B"}},
            {"name": "smol:latest", "details": {"family": "llama", "parameter_size": "361.82M"}},
            {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert", "parameter_size": "137M"}},
            {"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"},
            {"nameless": true}]});

        let models = models(&tags).unwrap();

        let classes: Vec<_> = models.iter().map(|model| model.class).collect();
        assert_eq!(classes, [Some(ModelClass::Medium), Some(ModelClass::Tiny), None]);
        assert_eq!(models[2].purpose, Purpose::Embedding);
        assert!(models[..2].iter().all(|model| model.ability(Ability::Tools).is_none()));
    }

    #[test]
    fn show_tells_context_purpose_and_abilities() {
        let show = json!({"capabilities": ["completion", "tools", "insert"],
            "model_info": {"general.architecture": "llama", "llama.context_length": 131_072}});

        let model = with_facts(ModelInfo::chat("m"), &show).unwrap();

        assert_eq!((model.context_tokens, model.purpose), (Some(131_072), Purpose::Chat));
        let known = [Ability::Tools, Ability::Images, Ability::Reasoning, Ability::Structured];
        assert_eq!(known.map(|a| model.ability(a)), [Some(true), Some(false), Some(false), Some(true)]);
    }

    #[test]
    fn capabilities_decide_what_a_model_is_for() {
        let purpose = |capabilities: Value| {
            let show = json!({"capabilities": capabilities});
            with_facts(ModelInfo::chat("m"), &show).map(|model| model.purpose)
        };

        assert_eq!(purpose(json!(["embedding"])), Some(Purpose::Embedding));
        assert_eq!(purpose(json!(["completion", "vision"])), Some(Purpose::Chat));
        assert_eq!(purpose(json!(["image"])), None);
        assert_eq!(purpose(json!(null)), Some(Purpose::Chat));
    }

    #[test]
    fn show_without_facts_leaves_them_unknown() {
        let empty = [
            json!({}),
            json!(null),
            json!({"model_info": {"general.architecture": "llama",
            "llama.context_length": "long"}}),
        ];

        for show in empty {
            let model = with_facts(ModelInfo::chat("m"), &show).unwrap();
            assert_eq!((model.context_tokens, model.abilities.len()), (None, 0), "{show}");
        }
    }

    #[test]
    fn loaded_models_are_read_with_what_is_known_of_them() {
        let ps = json!({"models": [
            {"name": "a:latest", "size": 10, "size_vram": 7, "context_length": 8192,
             "expires_at": "2024-06-04T14:38:31.5-07:00"},
            {"name": "b:latest"}]});

        let loaded = loaded(&ps).unwrap();

        let first = &loaded[0];
        assert_eq!((first.bytes, first.vram_bytes, first.context_tokens), (Some(10), Some(7), Some(8192)));
        let since = first.expires_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_millis(1_717_537_111_500));
        let second = &loaded[1];
        assert_eq!((second.bytes, second.expires_at, second.context_tokens), (None, None, None));
    }

    #[test]
    fn times_are_read_with_their_offset() {
        let utc = time("2024-06-04T21:38:31Z");

        assert!(utc.is_some());
        assert_eq!(time("2024-06-04T23:38:31+02:00"), utc);
        assert_eq!(time("2024-06-04T14:38:31-07:00"), utc);
        for wrong in
            ["", "soon", "2024-06-04T14:38:31", "2024-06-04T14:38:31ü07:00", "2024-06-04T14:38:31+ab:cd"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
