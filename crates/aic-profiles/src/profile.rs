use std::fmt;
use std::num::NonZeroU32;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::hardware::Hardware;
use crate::level::Level;
use crate::origin::Origin;
use crate::use_case::UseCase;

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// How many of a model's layers run on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuLayers {
    /// The first so many; 0 keeps the model off the GPU.
    Count(u32),
    /// All of them.
    All,
}

// The settings, declared once: the layers' optional twin, the resolved profile, and everything that walks over them.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $type:ty = $default:expr;)*) => {
        /// Settings that one layer makes; what is `None` is left to the layers below.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$type>,)*
        }

        /// All settings, each with its origin.
        ///
        /// A profile grows from the defaults by [`overlay`](Self::overlay); later layers win. [`Display`](fmt::Display)
        /// prints one line for each setting, with its origin.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[non_exhaustive]
        pub struct Profile {
            $($(#[$doc])* pub $key: Setting<$type>,)*
        }

        impl Profile {
            /// The names of all settings.
            pub const KEYS: &[&str] = &[$(stringify!($key)),*];

            /// Puts a layer on top: what it sets replaces what is there, origin included.
            #[must_use]
            pub fn overlay(mut self, layer: &Settings, origin: &Origin) -> Self {
                $(if let Some(value) = &layer.$key {
                    self.$key = Setting { value: value.clone(), origin: origin.clone() };
                })*
                self
            }

            /// Each setting as its name, its value and its origin, in words.
            pub fn explain(&self) -> Vec<(&'static str, String, &Origin)> {
                vec![$((stringify!($key), self.$key.value.to_string(), &self.$key.origin)),*]
            }
        }

        impl Default for Profile {
            fn default() -> Self {
                Self { $($key: Setting { value: $default, origin: Origin::Builtin },)* }
            }
        }
    };
}

settings! {
    /// What the model is used for. Built-in default: chat.
    use_case: UseCase = UseCase::Chat;
    /// Quantization level of the weights. Built-in default: Q8_0.
    level: Level = Level::Q8_0;
    /// Tokens of context each request may use. Built-in default: 4096.
    context_length: NonZeroU32 = at_least_one(4096);
    /// Type of the key-value cache. Built-in default: F16.
    kv_level: Level = Level::F16;
    /// Threads that compute. Built-in default: 1; the hardware class sets one for each core.
    threads: NonZeroU32 = at_least_one(1);
    /// Whether each thread stays on a core of its own. Built-in default: no; the hardware class sets it where cores differ in
    /// speed or in the memory they are near to, for there the system may move a thread to a place where all others wait for
    /// it. Where cores are alike, a thread that cannot move only waits for whatever else runs on its core.
    pin_threads: bool = false;
    /// Layers that run on the GPU, a number or `all`. Built-in default: 0.
    gpu_layers: GpuLayers = GpuLayers::Count(0);
    /// Memory for finished answers; 0 keeps none. Built-in default: 64 MiB.
    cache_bytes: u64 = 64 << 20;
    /// Requests served at once; more have to wait. Built-in default: 1.
    max_concurrency: NonZeroU32 = at_least_one(1);
    /// How long a model stays loaded without being used; 0 unloads it at once. Built-in default: 300.
    keep_warm_seconds: u64 = 300;
}

impl Profile {
    /// The defaults, then the machine's class, then the use case.
    pub fn for_machine(hardware: &Hardware, use_case: UseCase) -> Self {
        let class = Class::of(hardware);
        Self::default().overlay(&class.settings(hardware), &Origin::Class(class)).with_use_case(use_case)
    }

    pub(crate) fn with_use_case(self, use_case: UseCase) -> Self {
        let layer = Settings { use_case: Some(use_case), ..use_case.settings() };
        self.overlay(&layer, &Origin::UseCase(use_case))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value, origin) in self.explain() {
            writeln!(f, "{key:<18} {value:<12} {origin}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GpuLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(layers) => layers.fmt(f),
            Self::All => f.pad("all"),
        }
    }
}

impl Serialize for GpuLayers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(layers) => serializer.serialize_u32(*layers),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

impl<'de> Deserialize<'de> for GpuLayers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Count(u32),
            Word(String),
        }
        match Raw::deserialize(deserializer) {
            Ok(Raw::Count(layers)) => Ok(Self::Count(layers)),
            Ok(Raw::Word(word)) if word == "all" => Ok(Self::All),
            _ => Err(de::Error::custom("`gpu_layers` is a number of layers or \"all\"")),
        }
    }
}

const fn at_least_one(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_later_layer_wins_and_leaves_its_origin() {
        let laptop = Hardware::new(8, 16 << 30);
        let run = Settings { threads: NonZeroU32::new(2), ..Settings::default() };

        let profile = Profile::for_machine(&laptop, UseCase::Batch).overlay(&run, &Origin::Run);

        assert_eq!(profile.threads, Setting { value: at_least_one(2), origin: Origin::Run });
        assert_eq!(profile.context_length.origin, Origin::UseCase(UseCase::Batch));
        assert_eq!(profile.cache_bytes.origin, Origin::Class(Class::Laptop));
        assert_eq!(profile.kv_level.origin, Origin::Builtin);
    }

    #[test]
    fn threads_stay_on_their_cores_only_where_cores_differ() {
        let machine = || Hardware::new(8, 16 << 30);
        let pinned = |hardware| Profile::for_machine(&hardware, UseCase::Chat).pin_threads;

        let by_class = Setting { value: true, origin: Origin::Class(Class::Laptop) };
        assert_eq!(pinned(machine().hybrid(true)), by_class);
        assert_eq!(pinned(machine().numa_nodes(2)), by_class);
        for alike in [machine(), machine().hybrid(false).numa_nodes(1)] {
            assert_eq!(pinned(alike), Setting { value: false, origin: Origin::Builtin });
        }
    }

    #[test]
    fn a_machine_without_known_cores_keeps_the_built_in_thread() {
        let profile = Profile::for_machine(&Hardware::new(0, 1 << 30), UseCase::Chat);

        assert_eq!(profile.threads, Setting { value: at_least_one(1), origin: Origin::Builtin });
    }

    #[test]
    fn every_key_is_explained_once() {
        let profile = Profile::default();
        let explained: Vec<_> = profile.explain().iter().map(|(key, ..)| *key).collect();

        assert_eq!(explained, Profile::KEYS);
        assert_eq!(profile.to_string().lines().count(), Profile::KEYS.len());
    }

    proptest! {
        #[test]
        fn an_empty_layer_changes_nothing_and_the_same_layer_twice_is_once(cache in any::<u64>(), threads in any::<u32>()) {
            let layer = Settings { cache_bytes: Some(cache), threads: NonZeroU32::new(threads), ..Settings::default() };
            let once = Profile::default().overlay(&layer, &Origin::Run);
            prop_assert_eq!(once.clone().overlay(&layer, &Origin::Run), once.clone());
            prop_assert_eq!(once.clone().overlay(&Settings::default(), &Origin::Builtin), once);
        }
    }
}
