//! The dated table of well-known cloud models, `prices.json` beside this crate's manifest.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{ModelInfo, NanoUsd, Price, Purpose};

#[derive(Debug, Deserialize)]
struct Table {
    providers: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    purpose: Option<Purpose>,
    context: u64,
    #[serde(deserialize_with = "dollars")]
    input: NanoUsd,
    #[serde(default, deserialize_with = "some_dollars")]
    cached_input: Option<NanoUsd>,
    #[serde(deserialize_with = "dollars")]
    output: NanoUsd,
    input_limit: Option<u64>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../prices.json")).expect("prices.json is checked by a test")
});

/// The models the table has for a provider.
pub(crate) fn models_of(provider: &str) -> Vec<ModelInfo> {
    TABLE.providers.get(provider).into_iter().flatten().map(Row::model).collect()
}

/// What the table knows of one model: only of that exact name, as dated versions have prices of their own.
pub(crate) fn known(provider: &str, model: &str) -> Option<ModelInfo> {
    models_of(provider).into_iter().find(|known| known.name == model)
}

impl Row {
    fn model(&self) -> ModelInfo {
        let Self { input, cached_input, output, input_limit, .. } = *self;
        let model = match self.purpose {
            Some(Purpose::Embedding) => ModelInfo::embedding(&self.name),
            Some(Purpose::Chat) | None => ModelInfo::chat(&self.name),
        };
        model.context_tokens(self.context).price(Price { input, cached_input, output, input_limit })
    }
}

fn dollars<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    parse_dollars(text)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an amount of dollars")))
}

fn some_dollars<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NanoUsd>, D::Error> {
    dollars(deserializer).map(Some)
}

/// Reads a decimal of at most nine places exactly.
fn parse_dollars(text: &str) -> Option<NanoUsd> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let nano: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nano).map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_whole_and_every_chat_model_has_a_class() {
        for provider in ["anthropic", "gemini", "openai"] {
            let models = models_of(provider);
            assert!(!models.is_empty(), "{provider}");
            for model in models.iter().filter(|model| model.purpose == Purpose::Chat) {
                assert!(crate::ModelClass::guess(&model.name).is_some(), "{}", model.name);
                let price = model.price.unwrap();
                assert!(
                    price.input <= price.output && price.cached_input < Some(price.input),
                    "{}",
                    model.name
                );
            }
        }
    }

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(parse_dollars("0.075"), Some(NanoUsd(75_000_000)));
        assert_eq!(parse_dollars("25"), Some(NanoUsd(25_000_000_000)));
        for wrong in ["", ".5", "-1", "1e3", "0.0000000001", "99999999999999999999"] {
            assert_eq!(parse_dollars(wrong), None, "{wrong}");
        }
    }
}
