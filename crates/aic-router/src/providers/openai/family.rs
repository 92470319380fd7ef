//! What follows from whose server it is, and from the names of OpenAI's models.

use super::{OPENAI_HOST, OpenAiApi};
use crate::wire::openai::Dialect;
use crate::{Ability, ChatRequest, ModelInfo};

/// How the server at `host` speaks. OpenAI's own are also its regions, as `eu.api.openai.com`, and Azure's.
pub(super) fn dialect(host: &str) -> Dialect {
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if host == OPENAI_HOST || below(OPENAI_HOST) || below("openai.azure.com") {
        Dialect::OpenAi
    } else {
        Dialect::Compatible
    }
}

/// The protocol for one request, where the user has not chosen.
///
/// A model that thinks takes stop texts in neither protocol, so it is not asked by the lesser for them.
pub(super) fn api(dialect: Dialect, model: &ModelInfo, request: &ChatRequest) -> OpenAiApi {
    let stops = !request.stop.is_empty() && model.ability(Ability::Reasoning) != Some(true);
    let hears = request.needs().any(|needed| needed == Ability::Audio);
    match dialect {
        Dialect::OpenAi if !stops && !hears => OpenAiApi::Responses,
        Dialect::OpenAi | Dialect::Compatible => OpenAiApi::ChatCompletions,
    }
}

/// Adds what an OpenAI model's name says about it, where nothing else does.
///
/// The models that think refuse sampling options, and those that do not think refuse to be told how hard.
pub(super) fn with_abilities(mut model: ModelInfo) -> ModelInfo {
    if let Some(thinks) = thinks(&model.name) {
        model.abilities.entry(Ability::Reasoning).or_insert(thinks);
        model.abilities.entry(Ability::Sampling).or_insert(!thinks);
    }
    model
}

/// Whether an OpenAI model of this name thinks before it answers; `None` for a name of no known family.
fn thinks(name: &str) -> Option<bool> {
    let is = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
    if is(&["gpt-3", "gpt-4", "chatgpt"]) || name.contains("-chat") {
        Some(false)
    } else if is(&["gpt-5", "o1", "o3", "o4", "codex"]) {
        Some(true)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, Message};

    #[test]
    fn dialect_follows_from_the_host() {
        for own in ["api.openai.com", "eu.api.openai.com", "acme.openai.azure.com"] {
            assert_eq!(dialect(own), Dialect::OpenAi, "{own}");
        }
        for other in ["localhost", "notapi.openai.com.example", "xapi.openai.com"] {
            assert_eq!(dialect(other), Dialect::Compatible, "{other}");
        }
    }

    #[test]
    fn openai_is_asked_by_chat_completions_only_for_what_no_response_has() {
        let asked = |dialect, model: &str, request| api(dialect, &with_abilities(model.into()), request);
        let (hi, stop) = (ChatRequest::user("hi"), ChatRequest::user("hi").stop("x"));
        let sound = ChatRequest::new(vec![Message::user("").audio(Media::bytes("audio/wav", "WAV"))]);
        let cases = [
            ("gpt-5.5", &hi, OpenAiApi::Responses),
            ("gpt-5.5", &stop, OpenAiApi::Responses),
            ("gpt-4o", &hi, OpenAiApi::Responses),
            ("gpt-4o", &stop, OpenAiApi::ChatCompletions),
            ("gpt-4o-audio-preview", &sound, OpenAiApi::ChatCompletions),
        ];
        for (model, request, api) in cases {
            assert_eq!(asked(Dialect::OpenAi, model, request), api, "{model} {request:?}");
            assert_eq!(asked(Dialect::Compatible, model, request), OpenAiApi::ChatCompletions);
        }
    }

    #[test]
    fn abilities_follow_from_the_name_unless_they_are_known() {
        let abilities = |model: ModelInfo| {
            let model = with_abilities(model);
            (model.ability(Ability::Reasoning), model.ability(Ability::Sampling))
        };

        assert_eq!(abilities("gpt-5.5".into()), (Some(true), Some(false)));
        assert_eq!(abilities("gpt-4o-mini".into()), (Some(false), Some(true)));
        assert_eq!(abilities("gpt-5-chat-latest".into()), (Some(false), Some(true)));
        assert_eq!(abilities("ft:something".into()), (None, None));
        assert_eq!(abilities(ModelInfo::chat("o3").can(Ability::Sampling)), (Some(true), Some(true)));
    }
}
