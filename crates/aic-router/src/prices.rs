use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use crate::{Ability, Error, ModelInfo, NanoUsd, Price, Purpose, Result, Tier};

/// A dated table of what models cost, hold and can do.
///
/// The one in this crate, [`builtin`](Self::builtin), is `prices.json` beside its manifest: a snapshot of
/// [models.dev](https://models.dev), made by `prices.py`. Prices change; a table of one's own, laid over it,
/// corrects or completes it:
///
/// ```
/// use aic_router::Prices;
///
/// let own = Prices::from_json(
///     r#"{
///         "as_of": "2026-09-01",
///         "source": "our contract",
///         "providers": {
///             "openai": [{ "name": "gpt-5.5", "input": "4", "output": "24" }]
///         }
///     }"#,
/// )?;
/// let prices = Prices::builtin().clone().overridden_by(own);
///
/// let model = prices.find("openai", "gpt-5.5").unwrap();
/// assert_eq!(model.price.unwrap().input.dollars(), 4.0);
/// assert_eq!(model.context_tokens, Some(1_050_000));
/// # Ok::<_, aic_router::Error>(())
/// ```
///
/// # Format
/// JSON: `as_of` (a date, `YYYY-MM-DD`), `source`, and `providers`, which has a list of models for each
/// provider's name. Of a model only `name` is required:
///
/// | key | meaning |
/// |---|---|
/// | `name` | the provider's exact name for it; dated versions are models of their own |
/// | `offered` | whether a provider has it when its user names no models; `false` by default |
/// | `purpose` | `chat` (default) or `embedding` |
/// | `context`, `output_max` | tokens it holds, and writes in one answer |
/// | `input`, `output` | US dollars per million tokens as text, `"0.25"`, so that they are exact; both or neither |
/// | `cached_input`, `cache_write_input` | the same for tokens read from and written to the prompt cache |
/// | `input_limit` | the largest input the price holds for, where the price above it is not known |
/// | `above` | `input_tokens`, and the four prices of calls with a larger input than that |
/// | `can`, `cannot` | names of [abilities](Ability), as `"tools"`; the others are unknown |
///
/// Unknown keys are errors, so that a slip of the pen is not a price of nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    as_of: String,
    source: String,
    providers: BTreeMap<String, Vec<Entry>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    model: ModelInfo,
    offered: bool,
}

static BUILTIN: LazyLock<Prices> = LazyLock::new(|| {
    Prices::parse(include_str!("../prices.json")).expect("prices.json is checked by a test")
});

impl Prices {
    /// The table of this crate.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`Error::File`] with line, column and what was expected there, or what contradicts what.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::parse(text).map_err(Error::file("read", "prices given as text"))
    }

    /// Reads a table from a file.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read; otherwise as [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(Error::file("read prices from", path.display()))?;
        Self::parse(&text).map_err(Error::file("read prices from", path.display()))
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        let table: Table = serde_json::from_str(text)?;
        let providers = table.providers.into_iter().map(|(provider, rows)| {
            let rows = rows.into_iter().map(|row| (row.name.clone(), row));
            let entries = unique(&provider, rows)?.into_iter().map(Entry::from).collect();
            Ok((provider, entries))
        });
        let providers = providers.collect::<serde_json::Result<_>>()?;
        Ok(Self { as_of: table.as_of, source: table.source, providers })
    }

    /// Lays `other` over this table: what it says of a model counts, what it leaves out stays, and models that
    /// only it has are added. The date and the source become those of `other`.
    pub fn overridden_by(mut self, other: Self) -> Self {
        for (provider, entries) in other.providers {
            let known = self.providers.entry(provider).or_default();
            for entry in entries {
                match known.iter_mut().find(|old| old.model.name == entry.model.name) {
                    Some(old) => old.override_by(entry),
                    None => known.push(entry),
                }
            }
        }
        Self { as_of: other.as_of, source: other.source, ..self }
    }

    /// The day the table is from, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Where its facts are from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the providers it has, sorted.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The models it has of a provider; none of an unknown one.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = &ModelInfo> {
        self.entries(provider).map(|entry| &entry.model)
    }

    /// What it has of one model, of exactly that name; a price it does not know is `None`.
    pub fn find(&self, provider: &str, model: &str) -> Option<&ModelInfo> {
        self.models(provider).find(|known| known.name == model)
    }

    fn entries(&self, provider: &str) -> impl Iterator<Item = &Entry> {
        self.providers.get(provider).into_iter().flatten()
    }

    /// `model` as this table has it; what the table does not say stays.
    pub(crate) fn correct(&self, provider: &str, model: &ModelInfo) -> ModelInfo {
        match self.find(provider, &model.name) {
            Some(known) => known.clone().or(model.clone()),
            None => model.clone(),
        }
    }
}

/// The models a provider has when its user names none.
pub(crate) fn models_of(provider: &str) -> Vec<ModelInfo> {
    let offered = Prices::builtin().entries(provider).filter(|entry| entry.offered);
    offered.map(|entry| entry.model.clone()).collect()
}

/// A model with what the table knows of it filled in where its user said nothing.
pub(crate) fn completed(provider: &str, model: ModelInfo) -> ModelInfo {
    match Prices::builtin().find(provider, &model.name) {
        Some(known) => model.or(known.clone()),
        None => model,
    }
}

impl Entry {
    fn override_by(&mut self, other: Self) {
        self.model = other.model.or(self.model.clone());
        self.offered |= other.offered;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(deserialize_with = "date")]
    as_of: String,
    source: String,
    providers: BTreeMap<String, Vec<Row>>,
}

#[derive(Deserialize)]
#[serde(try_from = "RawRow")]
struct Row {
    name: String,
    offered: bool,
    purpose: Purpose,
    context: Option<u64>,
    output_max: Option<u64>,
    price: Option<Price>,
    abilities: BTreeMap<Ability, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    name: String,
    #[serde(default)]
    offered: bool,
    purpose: Option<Purpose>,
    context: Option<u64>,
    output_max: Option<u64>,
    input: Option<Dollars>,
    cached_input: Option<Dollars>,
    cache_write_input: Option<Dollars>,
    output: Option<Dollars>,
    input_limit: Option<u64>,
    above: Option<RawTier>,
    #[serde(default)]
    can: Vec<Ability>,
    #[serde(default)]
    cannot: Vec<Ability>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTier {
    input_tokens: u64,
    input: Dollars,
    cached_input: Option<Dollars>,
    cache_write_input: Option<Dollars>,
    output: Dollars,
}

impl TryFrom<RawRow> for Row {
    type Error = String;

    fn try_from(raw: RawRow) -> Result<Self, String> {
        let price = raw.price().map_err(|why| format!("`{}`: {why}", raw.name))?;
        if raw.name.is_empty() || raw.context == Some(0) || raw.output_max == Some(0) {
            return Err(format!("`{}`: a name, a context and a greatest answer are not empty", raw.name));
        }
        if let Some(both) = raw.can.iter().find(|ability| raw.cannot.contains(ability)) {
            return Err(format!("`{}`: `{both}` is both in `can` and in `cannot`", raw.name));
        }
        let can = raw.can.into_iter().map(|ability| (ability, true));
        Ok(Self {
            name: raw.name,
            offered: raw.offered,
            purpose: raw.purpose.unwrap_or(Purpose::Chat),
            context: raw.context,
            output_max: raw.output_max,
            price,
            abilities: can.chain(raw.cannot.into_iter().map(|ability| (ability, false))).collect(),
        })
    }
}

impl RawRow {
    fn price(&self) -> Result<Option<Price>, &'static str> {
        let nano = |dollars: &Option<Dollars>| dollars.as_ref().map(|dollars| dollars.0);
        let (input, output) = match (nano(&self.input), nano(&self.output)) {
            (Some(input), Some(output)) => (input, output),
            (None, None) if self.has_rest_of_a_price() => {
                return Err("a price needs `input` and `output`");
            }
            (None, None) => return Ok(None),
            _ => return Err("`input` and `output` are given both or not at all"),
        };
        if self.above.is_some() && self.input_limit.is_some() {
            return Err("`above` has its own `input_tokens`; remove `input_limit`");
        }
        Ok(Some(Price {
            input,
            cached_input: nano(&self.cached_input),
            cache_write_input: nano(&self.cache_write_input),
            output,
            input_limit: self.above.as_ref().map(|tier| tier.input_tokens).or(self.input_limit),
            above: self.above.as_ref().map(RawTier::tier),
        }))
    }

    fn has_rest_of_a_price(&self) -> bool {
        let cache = self.cached_input.is_some() || self.cache_write_input.is_some();
        cache || self.input_limit.is_some() || self.above.is_some()
    }
}

impl RawTier {
    fn tier(&self) -> Tier {
        Tier {
            input: self.input.0,
            cached_input: self.cached_input.as_ref().map(|dollars| dollars.0),
            cache_write_input: self.cache_write_input.as_ref().map(|dollars| dollars.0),
            output: self.output.0,
        }
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let model = match row.purpose {
            Purpose::Chat => ModelInfo::chat(row.name),
            Purpose::Embedding => ModelInfo::embedding(row.name),
        };
        let (context_tokens, output_tokens_max) = (row.context, row.output_max);
        let (price, abilities) = (row.price, row.abilities);
        Self {
            model: ModelInfo { context_tokens, output_tokens_max, price, abilities, ..model },
            offered: row.offered,
        }
    }
}

/// Keeps the order of rows and refuses a name that is there twice.
fn unique<T>(provider: &str, rows: impl Iterator<Item = (String, T)>) -> serde_json::Result<Vec<T>> {
    let mut seen = std::collections::HashSet::new();
    let checked = rows.map(|(name, row)| {
        if seen.insert(name.clone()) {
            return Ok(row);
        }
        Err(serde::de::Error::custom(format!("provider `{provider}` has `{name}` twice")))
    });
    checked.collect()
}

/// Money written as a decimal in quotes.
struct Dollars(NanoUsd);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str =
            "dollars per million tokens in quotes, as in \"0.25\", with at most nine decimals";
        let text = String::deserialize(deserializer)?;
        parse_dollars(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` found, expected {EXPECTED}")))
    }
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

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let shape =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() == 10 && text.bytes().enumerate().all(shape) {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format!("`{text}` found, expected a date as in \"2026-07-02\"")))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn table(rows: &str) -> Result<Prices> {
        Prices::from_json(&format!(
            r#"{{"as_of": "2026-09-01", "source": "a test", "providers": {{"p": [{rows}]}}}}"#
        ))
    }

    fn all() -> impl Iterator<Item = &'static ModelInfo> {
        let prices = Prices::builtin();
        prices.providers().flat_map(|provider| prices.models(provider))
    }

    #[test]
    fn builtin_table_names_its_date_and_source_and_offers_models_of_every_provider() {
        let prices = Prices::builtin();

        assert!(prices.as_of() >= "2026-07-02" && prices.source().contains("commit"));
        for provider in prices.providers() {
            assert!(!models_of(provider).is_empty(), "{provider}");
        }
        assert!(all().count() > 100);
    }

    #[test]
    fn builtin_prices_are_in_a_sane_order() {
        for model in all() {
            let Some(price) = model.price else { continue };
            let name = &model.name;
            assert!(price.input <= price.output || model.purpose == Purpose::Embedding, "{name}");
            assert!(price.cached_input.is_none_or(|cached| cached < price.input), "{name}");
            assert!(price.cache_write_input.is_none_or(|write| write >= price.input), "{name}");
            assert!(price.above.is_none_or(|tier| tier.input > price.input), "{name}");
        }
    }

    #[test]
    fn models_a_provider_has_by_default_are_of_a_known_class() {
        for provider in ["anthropic", "gemini", "openai"] {
            for model in models_of(provider).iter().filter(|model| model.purpose == Purpose::Chat) {
                assert!(crate::ModelClass::guess(&model.name).is_some(), "{}", model.name);
                assert!(model.price.is_some(), "{}", model.name);
            }
        }
    }

    #[test]
    fn newer_claudes_take_no_prefill_and_the_newest_no_sampling() {
        let can = |model, ability| Prices::builtin().find("anthropic", model).unwrap().ability(ability);

        assert_eq!(can("claude-haiku-4-5", Ability::Prefill), Some(true));
        assert_eq!(can("claude-sonnet-4-6", Ability::Prefill), Some(false));
        assert_eq!(can("claude-sonnet-4-6", Ability::Sampling), Some(true));
        assert_eq!(can("claude-opus-4-8", Ability::Sampling), Some(false));
    }

    #[test]
    fn override_counts_where_it_speaks_and_leaves_the_rest() {
        let base = table(
            r#"{"name": "m", "context": 1000, "input": "1", "output": "2", "can": ["tools"]}, {"name": "n"}"#,
        );
        let own =
            table(r#"{"name": "m", "input": "0.5", "output": "1", "cannot": ["images"]}, {"name": "o"}"#);

        let prices = base.unwrap().overridden_by(own.unwrap());

        let model = prices.find("p", "m").unwrap();
        assert_eq!(model.price, Some(Price::per_million(0.5, 1.0)));
        assert_eq!(model.context_tokens, Some(1000));
        assert_eq!(
            (model.ability(Ability::Tools), model.ability(Ability::Images)),
            (Some(true), Some(false))
        );
        let names: Vec<_> = prices.models("p").map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["m", "n", "o"]);
    }

    #[test]
    fn price_that_is_not_stated_is_unknown() {
        assert_eq!(table(r#"{"name": "m"}"#).unwrap().find("p", "m").unwrap().price, None);
    }

    #[test]
    fn mistakes_are_named_with_place_and_expectation() {
        let cases = [
            (r#"{"name": "m", "input": 1, "output": "2"}"#, "expected a string at line 1"),
            (
                r#"{"name": "m", "input": "1,5", "output": "2"}"#,
                r#"expected dollars per million tokens in quotes, as in "0.25""#,
            ),
            (r#"{"name": "m", "input": "1"}"#, "`m`: `input` and `output` are given both or not at all"),
            (r#"{"name": "m", "cached_input": "1"}"#, "`m`: a price needs `input` and `output`"),
            (r#"{"name": "m", "inptu": "1"}"#, "unknown field `inptu`, expected one of `name`"),
            (r#"{"name": "m", "can": ["fly"]}"#, "unknown variant `fly`, expected one of `images`"),
            (r#"{"name": "m", "can": ["tools"], "cannot": ["tools"]}"#, "both in `can` and in `cannot`"),
            (r#"{"name": "m", "context": 0}"#, "are not empty"),
            (r#"{"name": "m"}, {"name": "m"}"#, "provider `p` has `m` twice"),
        ];
        for (rows, why) in cases {
            let error = table(rows).unwrap_err();
            let source = error.source().unwrap().to_string();
            assert!(source.contains(why), "{rows}: {source}");
            assert_eq!(error.to_string(), "cannot read prices given as text");
        }
        let undated = Prices::from_json(r#"{"as_of": "today", "source": "", "providers": {}}"#).unwrap_err();
        assert!(undated.source().unwrap().to_string().contains("expected a date"), "{undated:?}");
    }

    #[test]
    fn file_that_is_not_there_is_named() {
        let error = Prices::from_file("/nowhere/prices.json").unwrap_err();

        assert_eq!(error.to_string(), "cannot read prices from /nowhere/prices.json");
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
