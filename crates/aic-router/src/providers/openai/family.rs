//! What follows from whose server it is, and from the names of OpenAI's models.

use super::OPENAI_HOST;
use crate::wire::openai::Dialect;
use crate::{Ability, ModelInfo};

/// How the server at `host` speaks. OpenAI's own are also its regions, as `eu.api.openai.com`, and Azure's.
pub(super) fn dialect(host: &str) -> Dialect {
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if host == OPENAI_HOST || below(OPENAI_HOST) || below("openai.azure.com") {
        Dialect::OpenAi
    } else {
        Dialect::Compatible
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
