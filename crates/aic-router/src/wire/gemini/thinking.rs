use serde_json::{Value, json};

use crate::{Ability, ModelInfo, ReasoningEffort};

/// The generation of a Gemini model, read from its name: `gemini-2.5-pro`, `gemini-3-flash-preview`. A Gemini
/// without a number, as in `gemini-flash-latest`, is taken for the newest; other models have none.
pub(super) fn generation(model: &str) -> Option<(u32, u32)> {
    let rest = model.split_once("gemini-")?.1;
    let (major, minor) = rest.split('-').next()?.split_once('.').unwrap_or((rest, "0"));
    let major = major.split('-').next()?.parse();
    Some(major.map_or((u32::MAX, 0), |major| (major, minor.parse().unwrap_or(0))))
}

/// The `thinkingConfig` for `effort`: a level from Gemini 3 on, a number of tokens in 2.5, and none for models
/// that do not think. Both are not taken together.
pub(super) fn config(model: &ModelInfo, effort: ReasoningEffort) -> Option<Value> {
    if model.ability(Ability::Reasoning) == Some(false) {
        return None;
    }
    let pro = model.name.contains("pro");
    let mut config = match generation(&model.name)? {
        (3.., _) => json!({"thinkingLevel": level(effort, pro)}),
        (2, 5..) => json!({"thinkingBudget": budget(effort, pro)}),
        _ => return None,
    };
    if effort != ReasoningEffort::Off {
        config["includeThoughts"] = true.into();
    }
    Some(config)
}

/// Gemini 3 Pro has no level below `low`, and none can be told not to think at all.
fn level(effort: ReasoningEffort, pro: bool) -> &'static str {
    match effort {
        ReasoningEffort::Off if !pro => "minimal",
        ReasoningEffort::Off | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    }
}

/// What Google's own translation of OpenAI's efforts takes; 128 is the least of Gemini 2.5 Pro.
fn budget(effort: ReasoningEffort, pro: bool) -> u32 {
    match effort {
        ReasoningEffort::Off if pro => 128,
        ReasoningEffort::Off => 0,
        ReasoningEffort::Low => 1024,
        ReasoningEffort::Medium => 8192,
        ReasoningEffort::High => 24_576,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_to_think_in_their_own_words() {
        let cases = [
            ("gemini-2.5-pro", ReasoningEffort::Off, json!({"thinkingBudget": 128})),
            ("gemini-2.5-flash-lite", ReasoningEffort::Off, json!({"thinkingBudget": 0})),
            (
                "gemini-2.5-flash",
                ReasoningEffort::High,
                json!({"thinkingBudget": 24576, "includeThoughts": true}),
            ),
            ("gemini-3.5-flash", ReasoningEffort::Off, json!({"thinkingLevel": "minimal"})),
            ("gemini-3-pro-preview", ReasoningEffort::Off, json!({"thinkingLevel": "low"})),
            (
                "gemini-flash-latest",
                ReasoningEffort::Medium,
                json!({"thinkingLevel": "medium", "includeThoughts": true}),
            ),
            (
                "models/gemini-3.1-pro",
                ReasoningEffort::Low,
                json!({"thinkingLevel": "low", "includeThoughts": true}),
            ),
        ];
        for (name, effort, expected) in cases {
            assert_eq!(config(&ModelInfo::chat(name), effort), Some(expected), "{name}");
        }
        for name in ["gemini-2.0-flash", "gemma-4-27b"] {
            assert_eq!(config(&ModelInfo::chat(name), ReasoningEffort::High), None, "{name}");
        }
        let told = ModelInfo::chat("gemini-3.5-flash").cannot(Ability::Reasoning);
        assert_eq!(config(&told, ReasoningEffort::High), None);
    }
}
