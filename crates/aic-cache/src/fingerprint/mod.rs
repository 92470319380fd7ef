//! What an answer depends on, as 256 bits.

mod canonical;
mod form;
mod number;
mod outline;
mod tenant;
mod text;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use outline::{Change, Closest, Difference, Outline, Recent};
pub use tenant::Tenant;

use crate::{Error, Result};
use form::Writer;

/// The version of the rules below; part of every fingerprint, so that a change of rules is a miss.
const RULES: &[u8] = &[3];

/// The BLAKE3-256 fingerprint of everything an answer depends on.
///
/// Two calls share an answer exactly when their fingerprints are equal, so whatever can change the answer
/// belongs into the value: model, prompt, tools, sampling settings, content of files. The hash is keyed by
/// the [`Tenant`], and covers the rules' version, the domain and the value.
///
/// # Canonical form
/// Any [`Serialize`] value is taken; equal content gives equal fingerprints however it is held or was written:
/// - maps and structs are sets of key–value pairs, their order is irrelevant; a struct equals the map
///   (for instance the JSON object) with the same fields;
/// - numbers are equal when they denote the same number: `1u8`, `1i64`, `1.0`, `1e0`, and `-0.0` and `0`. A double
///   below 2¹²⁸ that is whole is that integer exactly, so 2⁵³ as a double differs from 2⁵³ + 1. [RFC 8785] goes
///   further and rounds all integers to doubles; here none meets another. NaNs equal each other, and nothing else;
/// - an `f32` is the number that its shortest decimal stands for, as JSON texts show it: `0.7f32` equals `0.7`.
///   (`serde_json::to_value` widens it instead, to 0.699999988…, another number);
/// - texts are equal when they are canonically equivalent: `é` is one character or two, and both are hashed in NFC
///   ([UAX #15]). They look the same, mean the same, and differ by the keyboard or file system they come from;
///   Unicode asks programs not to tell them apart (conformance clause C6). Compatibility forms (`①`, `ﬁ`), case and
///   white space are kept. The keys of a map are texts like others; two that become equal are both kept;
/// - `None`, `()` and unit structs are null; `Some(x)` and newtype structs are `x`;
/// - a `char` is a string; byte strings are neither strings nor lists, and their bytes are not touched;
/// - enum variants look as in JSON: `"Name"` or `{"Name": content}`;
/// - a field that is skipped differs from one that is null, and order in lists matters.
///
/// Values may be nested 128 levels deep. No two values that differ by these rules share canonical bytes, because
/// each tells where it ends; that leaves collisions of BLAKE3-256.
///
/// # Pictures, sounds, files
/// What the answer depends on is their content, not how it travels: Base64 text, bytes and an address of the same
/// picture are three values. Put [`Fingerprint::of_bytes`] of the content in their place, and fetch what an address
/// names before hashing it, since that may change.
///
/// # Cost
/// Texts in Latin script are checked for NFC at the speed of memory, Cyrillic and East Asian ones at about 1 GB/s,
/// others at a few hundred MB/s. Only texts with combining marks are composed, at some 50 MB/s. Strings of 8 KiB
/// and more are hashed where they lie.
///
/// [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785
/// [UAX #15]: https://www.unicode.org/reports/tr15/
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
        let form = canonical_form(RULES, domain, value)?.into_padded();
        Ok(Self(blake3::keyed_hash(tenant.key(), &form).into()))
    }

    /// Fingerprints the content of a file, such as a picture that is part of a prompt: the same as
    /// [`of`](Self::of) the byte string. From 8 KiB on the bytes are not copied.
    pub fn of_bytes(domain: &str, tenant: &Tenant, bytes: &[u8]) -> Self {
        Self::of(domain, tenant, &Content(bytes)).expect("a byte string has a canonical form")
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

/// A byte string; as a slice it would be a list of numbers.
struct Content<'a>(&'a [u8]);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// `start`, the domain and the value.
fn canonical_form<T: Serialize + ?Sized>(start: &[u8], domain: &str, value: &T) -> Result<Writer> {
    let mut writer = Writer::new(start);
    writer.text(domain);
    canonical::write(value, &mut writer)
        .map_err(|source| Error::Fingerprint { domain: domain.to_owned(), source: source.into() })?;
    Ok(writer)
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

    use unicode_normalization::UnicodeNormalization;

    use super::{text::tests::marked, *};

    fn of(value: &impl Serialize) -> Fingerprint {
        Fingerprint::of("test", &Tenant::default(), value).unwrap()
    }

    /// Any JSON value; its numbers and texts are often equal without being written alike.
    pub(super) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-3i8..3).prop_map(Value::from),
            (-3i8..3).prop_map(f64::from).prop_map(Value::from),
            marked().prop_map(Value::from),
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

    /// Equality by the rules, said in another way.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => a.as_f64() == b.as_f64(),
                (Some(whole), None) => {
                    b.as_f64().is_some_and(|b| b.fract() == 0.0 && b as i128 == whole.into())
                }
                (None, Some(_)) => same(&Value::Number(b.clone()), &Value::Number(a.clone())),
            },
            (Value::String(a), Value::String(b)) => a.nfd().eq(b.nfd()),
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => a.len() == b.len() && within(a, b) && within(b, a),
            (a, b) => a == b,
        }
    }

    fn within(a: &serde_json::Map<String, Value>, b: &serde_json::Map<String, Value>) -> bool {
        a.iter().all(|(key, value)| b.iter().any(|(k, v)| k.nfd().eq(key.nfd()) && same(v, value)))
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
        fn fingerprints_are_equal_exactly_when_values_are(a in value(), b in value()) {
            prop_assert_eq!(same(&a, &b), of(&a) == of(&b));
            prop_assert_eq!(of(&a), of(&a.clone()));
        }

        #[test]
        fn no_value_is_the_beginning_of_another(a in value(), b in value()) {
            let form = |value| canonical_form(b"", "", value).unwrap().into_bytes();
            let (a, b) = (form(&a), form(&b));

            prop_assert!(a == b || !a.starts_with(&b) && !b.starts_with(&a));
        }

        #[test]
        fn whole_number_is_the_same_with_a_point_or_an_exponent(n in -(1i64 << 40)..1 << 40, zeros in 0usize..4) {
            // Of more than 53 bits with their zeros, serde_json would round some wrongly.
            let point = format!("{n}.{}", "0".repeat(zeros + 1));
            let power = format!("{n}e0");
            let shifted = format!("{n}{}e-{zeros}", "0".repeat(zeros));

            for text in [point, power, shifted] {
                prop_assert_eq!(of(&n), of(&serde_json::from_str::<Value>(&text).unwrap()), "{}", text);
            }
        }

        #[test]
        fn number_held_in_single_precision_is_the_one_its_json_text_shows(v in -1e6f32..1e6) {
            let text = serde_json::to_string(&v).unwrap();

            prop_assert_eq!(of(&v), of(&serde_json::from_str::<Value>(&text).unwrap()), "{}", text);
        }

        #[test]
        fn texts_are_equal_exactly_when_they_are_canonically_equivalent(a in marked(), b in marked()) {
            let (composed, decomposed): (String, String) = (a.nfc().collect(), a.nfd().collect());

            prop_assert_eq!(of(&composed), of(&decomposed));
            prop_assert_eq!(of(&a), of(&composed));
            prop_assert_eq!(of(&json!({composed: 1})), of(&json!({decomposed: 1})));
            prop_assert_eq!(of(&a) == of(&b), a.nfd().eq(b.nfd()));
        }

        #[test]
        fn added_field_makes_another_value(
            map in prop::collection::btree_map(marked(), value(), 0..6),
            name in marked(),
            added in value(),
        ) {
            prop_assume!(!map.contains_key(&name));
            let mut more = map.clone();
            more.insert(name, added);

            prop_assert_ne!(of(&map), of(&more));
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
    fn number_is_the_same_in_every_width_and_spelling() {
        let spelled = |text: &str| of(&serde_json::from_str::<Value>(text).unwrap());

        assert_eq!(of(&1u8), of(&1i128));
        assert_eq!(of(&-1i8), of(&-1.0f32));
        assert_eq!(of(&10u128.pow(20)), spelled("1e20"));
        assert_eq!(of(&0.7f32), spelled("7e-1"));
        assert_eq!(of(&0), spelled("-0.0"));
        assert_eq!(of(&f64::NAN), of(&-f32::NAN));
        assert_ne!(of(&f64::INFINITY), of(&f64::NEG_INFINITY));
        assert_ne!(spelled("9007199254740993"), of(&9_007_199_254_740_992.0f64));
        assert_ne!(of(&u128::MAX), of(&2f64.powi(128)));
    }

    #[test]
    fn keys_that_become_equal_are_both_kept_whatever_their_order() {
        let pair = |key: &str, value: u8| (key.to_owned(), Value::from(value));
        let (short, long) = ("\u{e9}", "e\u{301}");

        let both = of(&InOrder(&[pair(short, 1), pair(long, 2)]));

        assert_eq!(both, of(&InOrder(&[pair(short, 2), pair(long, 1)])));
        assert_ne!(both, of(&InOrder(&[pair(short, 1), pair(long, 1)])));
        assert_ne!(both, of(&json!({short: 1})));
    }

    #[test]
    fn texts_of_every_length_differ_though_short_forms_are_filled_up_with_zeros() {
        let zeros = "\0".repeat(10_000);

        let prints: std::collections::HashSet<_> =
            (0..zeros.len()).map(|length| of(&&zeros[..length])).collect();

        assert_eq!(prints.len(), zeros.len());
    }

    #[test]
    fn content_of_a_file_is_neither_its_text_nor_its_numbers() {
        for length in [0, 5, 8191, 8192, 20_000] {
            let (domain, tenant) = ("picture 1", Tenant::new("acme"));
            let content = vec![b'x'; length];
            let text = str::from_utf8(&content).unwrap();

            let print = Fingerprint::of_bytes(domain, &tenant, &content);

            assert_eq!(print, Fingerprint::of_bytes(domain, &tenant, &content.clone()));
            assert_ne!(print, Fingerprint::of_bytes(domain, &Tenant::new("other"), &content));
            assert_ne!(print, Fingerprint::of_bytes("picture 2", &tenant, &content));
            assert_ne!(print, Fingerprint::of(domain, &tenant, text).unwrap());
            assert_ne!(print, Fingerprint::of(domain, &tenant, &content).unwrap());
        }
    }

    #[test]
    fn new_field_changes_the_key_unless_it_is_skipped() {
        #[derive(Serialize)]
        struct Grown {
            prompt: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            effort: Option<u8>,
        }
        let before = of(&json!({"prompt": "hi"}));

        assert_eq!(before, of(&Grown { prompt: "hi", effort: None }));
        assert_ne!(before, of(&Grown { prompt: "hi", effort: Some(0) }));
    }

    #[test]
    fn lookalikes_differ() {
        let lookalikes = [
            of(&1),
            of(&1.5),
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

    /// Computed by a second implementation of the rules, in Python.
    #[test]
    fn fingerprints_never_change() {
        let long = "All work and no play. ".repeat(400);
        let golden = [
            (of(&()), "30d8d96a7e98d6af04e3dbd886fa21b9329dada4e72284ed85166dcfc0180085"),
            (
                of(&json!([true, false, 300, -1, 0.5, 1e20, "é", "e\u{301}"])),
                "d0d351081e2bd264e3527396dfb5f30b7f90c0b7ec5a7ab2ed948a4bdb001fa9",
            ),
            (
                of(&json!({"model": "m", "messages": [{"role": "user", "text": "hi"}], "t": 0.7})),
                "ea2f621154a018d74237ea94497845ada6d1e00b5d3e0fe156f477d7dcfcb706",
            ),
            (
                of(&json!({"b": {}, "aa": [], "a": null})),
                "9aef6c5d3ee4c83b92625601aff5e4323735609260b797480301c1f90002520c",
            ),
            (of(&&long[..1500]), "c137dfd0aae0a8f929f9b30431400d5b2d4cf7eb29c4470bd74b5a66f1567e13"),
            (of(&long), "a7d631c992595c23170d0fa57b1c50dfaf74c37af8ec55942e51f1fce8fb0a16"),
            (
                Fingerprint::of_bytes("picture 1", &Tenant::new("acme"), &[1, 2, 3]),
                "e9ebf6ffc047bf03e287e22230c94d56b569605a283041d8a6bc6913a16c40c9",
            ),
            (
                Fingerprint::of("x", &Tenant::with_secret("acme", b"s"), &u128::MAX).unwrap(),
                "6e9223f0166711dec0def5654d3b7cf7cc500702563713fb03b1a34bd4c88609",
            ),
        ];

        for (print, expected) in golden {
            assert_eq!(print.to_string(), expected);
        }
    }

    #[test]
    fn text_that_is_no_fingerprint_is_refused() {
        let error = "xyz".parse::<Fingerprint>().unwrap_err();

        assert_eq!(error.to_string(), "a fingerprint is 64 hexadecimal digits, not 3 bytes of `xyz…`");
    }
}
