//! What an answer depends on, as 256 bits.

mod canonical;
mod tenant;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use tenant::Tenant;

use crate::{Error, Result};

/// The version of the rules below; part of every fingerprint, so that a change of rules is a miss.
const RULES: &[u8] = b"aic-cache fingerprint 1";

/// The BLAKE3-256 fingerprint of everything an answer depends on.
///
/// Two calls share an answer exactly when their fingerprints are equal, so whatever can change the answer
/// belongs into the value: model, prompt, tools, sampling settings, content of files. The hash is keyed by
/// the [`Tenant`], and covers the rules' version, the domain and the value, each preceded by its length.
///
/// # Canonical form
/// Any [`Serialize`] value is taken; equal content gives equal fingerprints however it is held in memory:
/// - maps and structs are sets of key–value pairs, their order is irrelevant; a struct equals the map
///   (for instance the JSON object) with the same fields;
/// - integers have no width: `1u8` equals `1i64`. Floats are not integers: `1.0` differs from `1`;
/// - `f32` is widened to `f64` without rounding; `-0.0` equals `0.0`; every NaN equals every other;
/// - `None`, `()` and unit structs are null; `Some(x)` and newtype structs are `x`;
/// - a `char` is a string; byte strings are neither strings nor lists;
/// - enum variants look as in JSON: `"Name"` or `{"Name": content}`;
/// - a field that is skipped differs from one that is null, and order in lists matters.
///
/// Values may be nested 128 levels deep.
///
/// ```
/// use aic_cache::{Fingerprint, Tenant};
/// use serde_json::json;
///
/// let tenant = Tenant::new("acme");
/// let a = Fingerprint::of("chat 1", &tenant, &json!({"model": "m", "prompt": "hi"}))?;
/// let b = Fingerprint::of("chat 1", &tenant, &json!({"prompt": "hi", "model": "m"}))?;
/// assert_eq!(a, b);
/// assert_ne!(a, Fingerprint::of("chat 1", &Tenant::new("other"), &json!({"model": "m", "prompt": "hi"}))?);
/// # Ok::<(), aic_cache::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Fingerprints `value` for `tenant`.
    ///
    /// `domain` says what kind of value this is and in which version, as in `"chat 1"`: equal values of
    /// different domains never meet. Change it when the meaning of the value, or the type of the answer
    /// kept under it, changes.
    ///
    /// # Errors
    /// [`Error::Fingerprint`] if `value` does not serialize or is nested too deeply.
    pub fn of<T: Serialize + ?Sized>(domain: &str, tenant: &Tenant, value: &T) -> Result<Self> {
        let content = canonical::encode(value)
            .map_err(|source| Error::Fingerprint { domain: domain.to_owned(), source: source.into() })?;
        let mut hasher = blake3::Hasher::new_keyed(tenant.key());
        for field in [RULES, domain.as_bytes(), &content] {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        Ok(Self(hasher.finalize().into()))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The fingerprint with these bytes, for instance one that was written down before.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hash = blake3::Hash::from_hex(text)
            .map_err(|_| Error::Hex { length: text.len(), start: text.chars().take(8).collect() })?;
        Ok(Self(hash.into()))
    }
}

impl Serialize for Fingerprint {
    /// As hexadecimal text in readable formats, as 32 bytes in others.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            deserializer.deserialize_bytes(Raw)
        }
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Fingerprint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Fingerprint, E> {
        text.parse().map_err(E::custom)
    }
}

struct Raw;

impl de::Visitor<'_> for Raw {
    type Value = Fingerprint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Fingerprint, E> {
        bytes.try_into().map(Fingerprint).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(value: &impl Serialize) -> Fingerprint {
        Fingerprint::of("test", &Tenant::default(), value).unwrap()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A map that serializes its entries in the order given.
    struct InOrder<'a>(&'a [(String, Value)]);

    impl Serialize for InOrder<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }

    proptest! {
        #[test]
        fn key_order_is_irrelevant(
            map in prop::collection::btree_map(".{0,6}", value(), 0..6),
            seed in any::<prop::sample::Index>(),
        ) {
            let sorted: Vec<_> = map.into_iter().collect();
            let mut turned = sorted.clone();
            turned.rotate_left(seed.index(sorted.len().max(1)));

            prop_assert_eq!(of(&InOrder(&sorted)), of(&InOrder(&turned)));
        }

        #[test]
        fn different_values_have_different_fingerprints(a in value(), b in value()) {
            // JSON holds -0.0 and 0.0 apart only in their text; here as in `PartialEq` they are equal.
            prop_assert_eq!(a == b, of(&a) == of(&b));
        }

        #[test]
        fn tenants_and_domains_never_share(value in value(), a in ".{0,9}", b in ".{0,9}") {
            prop_assume!(a != b);
            let tenant = |name: &str| Fingerprint::of("x", &Tenant::new(name), &value).unwrap();
            let domain = |name: &str| Fingerprint::of(name, &Tenant::default(), &value).unwrap();

            prop_assert_ne!(tenant(&a), tenant(&b));
            prop_assert_ne!(domain(&a), domain(&b));
        }

        #[test]
        fn text_and_serde_forms_read_back(bytes in any::<[u8; 32]>()) {
            let print = Fingerprint::from_bytes(bytes);
            let json = serde_json::to_string(&print).unwrap();
            let packed = rmp_serde::to_vec(&print).unwrap();

            prop_assert_eq!(print.to_string().parse::<Fingerprint>().unwrap(), print);
            prop_assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
            prop_assert_eq!(rmp_serde::from_slice::<Fingerprint>(&packed).unwrap(), print);
        }
    }

    #[derive(Serialize)]
    enum Choice {
        Auto,
        Tool(&'static str),
        Pair(u8, u8),
        Limited { calls: u32 },
    }

    #[derive(Serialize)]
    struct Call {
        prompt: &'static str,
        model: String,
        choices: Vec<Choice>,
        top_k: Option<u8>,
        unit: (),
    }

    #[test]
    fn struct_equals_the_json_object_with_the_same_fields() {
        let choices =
            vec![Choice::Auto, Choice::Tool("search"), Choice::Pair(1, 2), Choice::Limited { calls: 3 }];
        let call = Call { prompt: "hi", model: "m".into(), choices, top_k: Some(4), unit: () };

        assert_eq!(of(&call), of(&serde_json::to_value(&call).unwrap()));
    }

    #[test]
    fn integer_widths_and_signed_zeros_and_nans_are_canonical() {
        assert_eq!(of(&1u8), of(&1i128));
        assert_eq!(of(&-1i8), of(&-1i64));
        assert_eq!(of(&u128::MAX), of(&u128::MAX));
        assert_eq!(of(&0.0f32), of(&-0.0f64));
        assert_eq!(of(&f64::NAN), of(&-f32::NAN));
    }

    #[test]
    fn lookalikes_differ() {
        let lookalikes = [
            of(&1),
            of(&1.0),
            of(&"1"),
            of(&[1]),
            of(&true),
            of(&-1),
            of(&None::<u8>),
            of(&json!({})),
            of(&json!([])),
            of(&json!([[], []])),
            of(&json!([[[]]])),
            of(&json!({"a": null})),
            of(&json!(["ab", "c"])),
            of(&json!(["a", "bc"])),
        ];

        for (i, a) in lookalikes.iter().enumerate() {
            assert!(lookalikes[i + 1..].iter().all(|b| a != b), "number {i} has a twin");
        }
    }

    #[test]
    fn value_nested_too_deeply_is_refused_with_its_limit() {
        let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));

        let error = Fingerprint::of("test", &Tenant::default(), &deep).unwrap_err();

        assert_eq!(error.to_string(), "no fingerprint for a value of domain `test`");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "nested deeper than 128 levels");
    }

    #[test]
    fn released_fingerprint_never_changes() {
        let print = of(&json!({"model": "m", "messages": [{"role": "user", "text": "hi"}], "t": 0.5}));

        // Computed by a second implementation of the rules, in Python.
        assert_eq!(print.to_string(), "3de9c6f36f0433458762addb6db64797d1f2e7042d0834dfd1d18ab96ef18ef3");
    }

    #[test]
    fn text_that_is_no_fingerprint_is_refused() {
        let error = "xyz".parse::<Fingerprint>().unwrap_err();

        assert_eq!(error.to_string(), "a fingerprint is 64 hexadecimal digits, not 3 bytes of `xyz…`");
    }
}
