use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::error::{Error, Result};
use crate::hardware::Hardware;
use crate::origin::Origin;
use crate::profile::{Profile, Settings};
use crate::suggestion;
use crate::use_case::UseCase;

/// A profile as a user writes it: some settings, on top of another profile.
///
/// Unknown keys are refused, with the closest known one as a suggestion.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Definition {
    /// The name of the profile this one starts from; `None` starts from the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherits: Option<String>,
    /// What it sets.
    #[serde(flatten)]
    pub settings: Settings,
}

/// Profiles by name: the built-in ones, and the user's.
///
/// Built in are the hardware classes (`tiny`, `laptop`, `workstation`, `gpu-small`, `gpu-large`) and the use cases
/// (`chat`, `batch`, `embedding`). A user's profile may take such a name and then replaces it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    user: BTreeMap<String, Definition>,
}

/// One step of an inheritance chain.
enum Step<'a> {
    Class(Class),
    UseCase(UseCase),
    User(&'a str, &'a Definition),
}

impl Catalog {
    /// The built-in profiles alone.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Adds a user's profile, replacing one of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, definition: Definition) -> Self {
        self.user.insert(name.into(), definition);
        self
    }

    /// Adds the profiles of a TOML text: one table for each, named after it.
    ///
    /// # Errors
    /// [`Error::Format`] if the text is not TOML, or has an unknown key or a value out of range.
    #[cfg(feature = "toml")]
    pub fn with_toml(self, text: &str) -> Result<Self> {
        let read = toml::from_str(text)
            .map_err(|source| Error::Format { format: "TOML", source: Box::new(source) })?;
        Ok(self.extended(read))
    }

    /// Adds the profiles of a YAML text: one mapping for each, named after it.
    ///
    /// # Errors
    /// [`Error::Format`] if the text is not YAML, or has an unknown key or a value out of range.
    #[cfg(feature = "yaml")]
    pub fn with_yaml(self, text: &str) -> Result<Self> {
        let read = serde_saphyr::from_str(text)
            .map_err(|source| Error::Format { format: "YAML", source: Box::new(source) })?;
        Ok(self.extended(read))
    }

    /// The names of all profiles, in order.
    pub fn names(&self) -> Vec<&str> {
        let classes = Class::ALL.iter().map(|class| class.name());
        let use_cases = UseCase::ALL.iter().map(|use_case| use_case.name());
        let user = self.user.keys().map(String::as_str);
        let mut names: Vec<_> = classes.chain(use_cases).chain(user).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Resolves a profile for a machine: the machine's class, then everything the name inherits, then itself.
    ///
    /// # Errors
    /// As [`overlay`](Self::overlay).
    pub fn resolve(&self, name: &str, hardware: &Hardware) -> Result<Profile> {
        self.overlay(name, Profile::for_machine(hardware, UseCase::Chat), hardware)
    }

    /// Puts a named profile, and everything it inherits, on top of another; a [`recommend`](crate::recommend)ed one,
    /// for instance.
    ///
    /// # Errors
    /// [`Error::UnknownProfile`] if the name or one it inherits does not exist, [`Error::Cycle`] if it inherits itself.
    pub fn overlay(&self, name: &str, onto: Profile, hardware: &Hardware) -> Result<Profile> {
        let chain = self.chain(name)?;
        Ok(chain.iter().rev().fold(onto, |profile, step| step.apply(profile, hardware)))
    }

    #[cfg(any(feature = "toml", feature = "yaml"))]
    fn extended(mut self, definitions: BTreeMap<String, Definition>) -> Self {
        self.user.extend(definitions);
        self
    }

    /// The steps from `name` down to the profile that inherits nothing.
    fn chain(&self, name: &str) -> Result<Vec<Step<'_>>> {
        let (mut steps, mut seen) = (Vec::new(), Vec::new());
        let mut next = Some(name);
        while let Some(name) = next {
            let repeated = seen.contains(&name);
            seen.push(name);
            if repeated {
                return Err(Error::Cycle { chain: seen.into_iter().map(str::to_owned).collect() });
            }
            let step = self.step(name)?;
            next = step.inherits();
            steps.push(step);
        }
        Ok(steps)
    }

    fn step(&self, name: &str) -> Result<Step<'_>> {
        if let Some((name, definition)) = self.user.get_key_value(name) {
            return Ok(Step::User(name, definition));
        }
        let class = Class::ALL.into_iter().find(|class| class.name() == name).map(Step::Class);
        let use_case =
            || UseCase::ALL.into_iter().find(|use_case| use_case.name() == name).map(Step::UseCase);
        class.or_else(use_case).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let suggestion = suggestion::closest(name, self.names()).map(str::to_owned);
        Error::UnknownProfile { name: name.to_owned(), suggestion }
    }
}

impl<'a> Step<'a> {
    fn inherits(&self) -> Option<&'a str> {
        match self {
            Self::User(_, definition) => definition.inherits.as_deref(),
            Self::Class(_) | Self::UseCase(_) => None,
        }
    }

    fn apply(&self, profile: Profile, hardware: &Hardware) -> Profile {
        match self {
            Self::Class(class) => profile.overlay(&class.settings(hardware), &Origin::Class(*class)),
            Self::UseCase(use_case) => profile.with_use_case(*use_case),
            Self::User(name, definition) => {
                profile.overlay(&definition.settings, &Origin::User((*name).to_owned()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DefinitionVisitor)
    }
}

struct DefinitionVisitor;

impl<'de> Visitor<'de> for DefinitionVisitor {
    type Value = Definition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile: settings by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Definition, A::Error> {
        let mut inherits = None;
        let keys = CheckedKeys { map, inherits: &mut inherits };
        let settings = Settings::deserialize(MapAccessDeserializer::new(keys))?;
        Ok(Definition { inherits, settings })
    }
}

/// Takes `inherits` out of a map and refuses unknown keys before their values are read.
struct CheckedKeys<'a, A> {
    map: A,
    inherits: &'a mut Option<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for CheckedKeys<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "inherits" {
                check_key(&key)?;
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            *self.inherits = Some(self.map.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

fn check_key<E: de::Error>(key: &str) -> Result<(), E> {
    if Profile::KEYS.contains(&key) {
        return Ok(());
    }
    let known = Profile::KEYS.iter().copied().chain(["inherits"]);
    let question = suggestion::question(suggestion::closest(key, known));
    Err(E::custom(format_args!("unknown setting `{key}`{question}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn inheriting(parent: &str) -> Definition {
        Definition { inherits: Some(parent.to_owned()), settings: Settings::default() }
    }

    fn laptop() -> Hardware {
        Hardware::new(8, 16 << 30)
    }

    #[test]
    fn a_profile_takes_from_its_ancestors_what_it_does_not_set() {
        let mut parent = inheriting("batch");
        parent.settings.level = Some(Level::Q6_K);
        parent.settings.cache_bytes = Some(1);
        let mut child = inheriting("parent");
        child.settings.cache_bytes = Some(2);

        let catalog = Catalog::builtin().with("parent", parent).with("child", child);
        let profile = catalog.resolve("child", &laptop()).unwrap();

        assert_eq!((profile.cache_bytes.value, &profile.level.value), (2, &Level::Q6_K));
        assert_eq!(profile.cache_bytes.origin, Origin::User("child".into()));
        assert_eq!(profile.level.origin, Origin::User("parent".into()));
        assert_eq!(profile.keep_warm_seconds.origin, Origin::UseCase(UseCase::Batch));
    }

    #[test]
    fn every_built_in_name_resolves() {
        let catalog = Catalog::builtin();

        assert_eq!(catalog.names().len(), Class::ALL.len() + UseCase::ALL.len());
        for name in catalog.names() {
            catalog.resolve(name, &laptop()).unwrap();
        }
    }

    #[test]
    fn a_circle_is_refused_with_its_names() {
        let catalog = Catalog::builtin().with("a", inheriting("b")).with("b", inheriting("a"));

        let error = catalog.resolve("a", &laptop()).unwrap_err();

        assert_eq!(error.to_string(), "profiles inherit in a circle: a -> b -> a");
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_neighbour() {
        let error = Catalog::builtin().resolve("labtop", &laptop()).unwrap_err();

        assert_eq!(error.to_string(), "no profile is called `labtop`; did you mean `laptop`?");
    }

    #[cfg(feature = "toml")]
    fn toml_complaint(text: &str) -> String {
        let error = Catalog::builtin().with_toml(text).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    }

    #[cfg(feature = "toml")]
    #[test]
    fn a_misspelt_setting_is_refused_with_its_neighbour() {
        let complaint = toml_complaint("[mine]\ncontext_lenght = 10");

        assert!(
            complaint.contains("unknown setting `context_lenght`; did you mean `context_length`?"),
            "{complaint}"
        );
    }

    #[cfg(feature = "toml")]
    #[test]
    fn values_out_of_range_are_refused() {
        for text in
            ["threads = 0", "level = \"Q4-K\"", "gpu_layers = \"some\"", "cache_bytes = -1", "use_case = 1"]
        {
            assert!(!toml_complaint(&format!("[mine]\n{text}")).is_empty(), "{text}");
        }
    }

    #[cfg(feature = "toml")]
    #[test]
    fn toml_keeps_each_value() {
        let text =
            "[mine]\ninherits = \"gpu-large\"\ngpu_layers = 12\nlevel = \"q5_k\"\nuse_case = \"batch\"";

        let profile = Catalog::builtin().with_toml(text).unwrap().resolve("mine", &laptop()).unwrap();

        assert_eq!(profile.gpu_layers.value, crate::profile::GpuLayers::Count(12));
        assert_eq!(profile.level.value, Level::Q5_K);
        assert_eq!(profile.use_case.value, UseCase::Batch);
        assert_eq!(profile.max_concurrency.origin, Origin::Class(Class::GpuLarge));
    }

    #[cfg(all(feature = "toml", feature = "yaml"))]
    #[test]
    fn yaml_and_toml_say_the_same() {
        let toml = Catalog::builtin().with_toml("[mine]\ninherits = \"chat\"\ngpu_layers = \"all\"").unwrap();
        let yaml = Catalog::builtin().with_yaml("mine:\n  inherits: chat\n  gpu_layers: all\n").unwrap();

        assert_eq!(toml, yaml);
    }

    proptest! {
        #[test]
        fn any_graph_of_profiles_resolves_or_names_its_circle(parents in proptest::collection::vec(0..12_usize, 1..12)) {
            let catalog = parents.iter().enumerate().fold(Catalog::builtin(), |catalog, (child, parent)| {
                catalog.with(format!("p{child}"), inheriting(&format!("p{parent}")))
            });
            // Every profile inherits another one, so a chain either leaves the known names or comes round.
            match catalog.resolve("p0", &laptop()) {
                Err(Error::Cycle { chain }) => {
                    let last = chain.last().unwrap();
                    prop_assert_eq!(chain.iter().filter(|name| *name == last).count(), 2);
                }
                Err(Error::UnknownProfile { .. }) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_users_profile_may_replace_a_built_in_one() {
        let settings = Settings { threads: NonZeroU32::new(3), ..Settings::default() };
        let catalog = Catalog::builtin().with("chat", Definition { inherits: None, settings });

        let profile = catalog.resolve("chat", &laptop()).unwrap();

        assert_eq!(profile.threads.origin, Origin::User("chat".into()));
    }
}
