use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;
use twox_hash::XxHash3_64;

use super::{
    Fingerprint, Tenant, canonical_form,
    form::{Item, Reader, Value},
};
use crate::Result;

/// The version of what an outline's numbers mean; no fingerprint begins with it.
const RULES: &[u8] = b"outline 1";

/// At most so many places of a value are told apart; what lies deeper is folded into its parent.
const PLACES_MAX: usize = 256;

/// A longer field name, in bytes, is held as its digest: it may be content rather than a name.
const NAME_MAX: usize = 64;

/// The shape of a request without its content: a number of 64 bits for each place, and the names of the fields.
///
/// Two outlines say [where](Self::difference) two requests differ, which tells why the second was a miss. The
/// value is seen in the same canonical form as by [`Fingerprint::of`], so only what changes the fingerprint shows.
///
/// An outline tells at most 256 places apart: of a value with more, it sees only as many levels as fit. Each
/// costs about 70 bytes, so a chat of ten messages takes about 2 KB and the greatest outline about 25 KB. No text is
/// held, but whoever reads the memory of the process could try out short guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The domain and tenant; outlines of different ones are never compared.
    space: u64,
    root: Node,
}

impl Outline {
    /// The outline of `value`; `domain` and `tenant` are those of its fingerprint.
    ///
    /// # Errors
    /// [`Error::Fingerprint`](crate::Error::Fingerprint) as for [`Fingerprint::of`].
    pub fn of<T: Serialize + ?Sized>(domain: &str, tenant: &Tenant, value: &T) -> Result<Self> {
        let form = canonical_form(b"", domain, value)?.into_bytes();
        let mut reader = Reader::new(&form);
        let [domain, value] = [(); 2].map(|()| reader.value().expect("a form is a domain and a value"));
        let space = blake3::keyed_hash(tenant.key(), &[RULES, domain.bytes].concat());
        let space = u64::from_be_bytes(*space.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes"));
        let plan = Plan { seed: space, levels: levels_that_fit(&value) };
        Ok(Self { space, root: plan.node(&value, 0) })
    }

    /// The places at which this request differs from an `earlier` one; none if both are the same to the cache.
    ///
    /// Lists are compared by position: a message put in front changes all that follow. Of what was added or
    /// removed only the topmost place is named. Requests of different domains or tenants differ as a whole.
    pub fn difference(&self, earlier: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        self.visit(earlier, &mut |path, change| found.push(Difference { path: written(path), change }));
        found
    }

    fn distance(&self, earlier: &Self) -> usize {
        let mut count = 0;
        self.visit(earlier, &mut |_, _| count += 1);
        count
    }

    fn visit<'a>(&'a self, earlier: &'a Self, found: &mut dyn FnMut(&[Step<'a>], Change)) {
        if self.space != earlier.space {
            return found(&[], Change::Changed);
        }
        self.root.visit(&earlier.root, &mut Vec::new(), found);
    }
}

/// One place at which two requests differ.
#[derive(Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The place, as in `messages[2].parts[0].text`; empty for the whole value. A name that is not made of
    /// letters, digits, `_` and `-` stands in brackets and quotation marks, one of more than 64 bytes as its digest.
    pub path: String,
    /// What happened there.
    pub change: Change,
}

/// What happened at a place between an earlier and a later request.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The earlier request has another value there.
    Changed,
    /// Only the later request has the place.
    Added,
    /// Only the earlier request has the place.
    Removed,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "the whole value" } else { &self.path })?;
        match self.change {
            Change::Changed => Ok(()),
            Change::Added => f.write_str(" added"),
            Change::Removed => f.write_str(" removed"),
        }
    }
}

/// One place of a value and those inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    /// Of the canonical bytes, those of the inside included.
    digest: u64,
    inside: Inside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inside {
    /// Not a list or map, or not looked into.
    Folded,
    Items(Box<[Node]>),
    /// Sorted by name.
    Fields(Box<[(Box<str>, Node)]>),
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Item(usize),
    Field(&'a str),
}

impl Node {
    fn visit<'a>(
        &'a self,
        earlier: &'a Self,
        path: &mut Vec<Step<'a>>,
        found: &mut dyn FnMut(&[Step<'a>], Change),
    ) {
        if self.digest == earlier.digest {
            return;
        }
        match (&self.inside, &earlier.inside) {
            (Inside::Items(a), Inside::Items(b)) if a.len() + b.len() > 0 => {
                for i in 0..a.len().max(b.len()) {
                    pair(a.get(i), b.get(i), Step::Item(i), path, found);
                }
            }
            (Inside::Fields(a), Inside::Fields(b)) if names_are_unique(a) && names_are_unique(b) => {
                for (name, node) in a {
                    pair(Some(node), field(b, name), Step::Field(name), path, found);
                }
                for (name, node) in b.iter().filter(|(name, _)| field(a, name).is_none()) {
                    pair(None, Some(node), Step::Field(name), path, found);
                }
            }
            _ => found(path, Change::Changed),
        }
    }
}

fn pair<'a>(
    later: Option<&'a Node>,
    earlier: Option<&'a Node>,
    step: Step<'a>,
    path: &mut Vec<Step<'a>>,
    found: &mut dyn FnMut(&[Step<'a>], Change),
) {
    path.push(step);
    match (later, earlier) {
        (Some(a), Some(b)) => a.visit(b, path, found),
        (Some(_), None) => found(path, Change::Added),
        (None, _) => found(path, Change::Removed),
    }
    path.pop();
}

fn field<'a>(fields: &'a [(Box<str>, Node)], name: &str) -> Option<&'a Node> {
    fields.binary_search_by(|(other, _)| (**other).cmp(name)).ok().map(|i| &fields[i].1)
}

/// Two keys may become one name in NFC; such a map is compared as a whole.
fn names_are_unique(fields: &[(Box<str>, Node)]) -> bool {
    fields.windows(2).all(|two| two[0].0 != two[1].0)
}

fn written(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Item(i) => text += &format!("[{i}]"),
            Step::Field(name) if !is_plain(name) => text += &format!("[{name:?}]"),
            Step::Field(name) => {
                text += if text.is_empty() { "" } else { "." };
                text += name;
            }
        }
    }
    text
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '#');
    !name.is_empty() && name.chars().all(plain)
}

/// How an outline is made of canonical bytes.
struct Plan {
    seed: u64,
    /// How many levels below the whole value are looked into.
    levels: usize,
}

impl Plan {
    fn node(&self, value: &Value<'_>, level: usize) -> Node {
        let inside = if level < self.levels { self.inside(&value.item, level + 1) } else { Inside::Folded };
        Node { digest: XxHash3_64::oneshot_with_seed(self.seed, value.bytes), inside }
    }

    fn inside(&self, item: &Item<'_>, level: usize) -> Inside {
        match item {
            Item::Leaf => Inside::Folded,
            Item::List(values) => {
                Inside::Items(values.clone().map(|value| self.node(&value, level)).collect())
            }
            Item::Map(pairs) => {
                let mut fields: Vec<_> = (pairs.clone())
                    .map(|pair| (self.name(pair.key.unwrap_or_default()), self.node(&pair, level)))
                    .collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                Inside::Fields(fields.into())
            }
        }
    }

    fn name(&self, key: &[u8]) -> Box<str> {
        match Reader::short_text(key).filter(|name| name.len() <= NAME_MAX) {
            Some(name) => name.into(),
            None => format!("#{:016x}", XxHash3_64::oneshot_with_seed(self.seed, key)).into(),
        }
    }
}

/// As many levels as leave no more than [`PLACES_MAX`] places that have nothing inside.
fn levels_that_fit(value: &Value<'_>) -> usize {
    let mut counts = Vec::new();
    count(value, 0, &mut counts);
    let mut leaves_above = 0;
    let places = counts.iter().map(|level| {
        let places = leaves_above + level.nodes;
        leaves_above += level.leaves;
        places
    });
    places.take_while(|&places| places <= PLACES_MAX).count().saturating_sub(1)
}

/// What lies on one level.
#[derive(Clone, Copy, Default)]
struct Counts {
    nodes: usize,
    leaves: usize,
}

fn count(value: &Value<'_>, level: usize, counts: &mut Vec<Counts>) {
    if counts.len() == level {
        counts.push(Counts::default());
    }
    counts[level].nodes += 1;
    match &value.item {
        Item::Leaf => counts[level].leaves += 1,
        Item::List(inside) | Item::Map(inside) => {
            inside.clone().for_each(|value| count(&value, level + 1, counts));
        }
    }
}

/// Outlines of the requests whose answers were kept last, to tell why another one was a miss.
///
/// Bounded by their number, whatever domains and tenants they belong to; the oldest gives way. At the 256 that
/// are the default they take about 0.5 MB for chats of ten messages, and never more than 7 MB.
#[derive(Debug)]
pub struct Recent {
    capacity: usize,
    /// The newest last.
    kept: Mutex<VecDeque<(Fingerprint, Arc<Outline>)>>,
}

impl Recent {
    /// Room for `capacity` outlines; with zero nothing is ever found.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    /// Notes that an answer was kept under `key` for the request with this outline.
    pub fn note(&self, key: Fingerprint, outline: Outline) {
        let mut kept = self.kept.lock();
        kept.retain(|(other, _)| *other != key);
        kept.push_back((key, Arc::new(outline)));
        while kept.len() > self.capacity {
            kept.pop_front();
        }
    }

    /// The noted request of the same domain and tenant that differs from `outline` at the fewest places, the latest
    /// of several; `None` if none was noted.
    pub fn closest(&self, outline: &Outline) -> Option<Closest> {
        let same_space = |(_, other): &&(_, Arc<Outline>)| other.space == outline.space;
        let candidates: Vec<_> = self.kept.lock().iter().rev().filter(same_space).cloned().collect();
        let (key, earlier) = candidates.into_iter().min_by_key(|(_, earlier)| outline.distance(earlier))?;
        Some(Closest { key, differences: outline.difference(&earlier) })
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new(256)
    }
}

/// The request that comes closest to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closest {
    /// The key its answer was kept under.
    pub key: Fingerprint,
    /// Where the other request differs from it; empty if nowhere: then the answer is gone or too old.
    pub differences: Vec<Difference>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::super::tests::value;
    use super::*;

    fn outline(value: &impl Serialize) -> Outline {
        Outline::of("test", &Tenant::default(), value).unwrap()
    }

    fn difference(later: &Json, earlier: &Json) -> Vec<String> {
        outline(later).difference(&outline(earlier)).iter().map(ToString::to_string).collect()
    }

    fn chat() -> Json {
        json!({
            "messages": [{"role": "user", "parts": [{"text": "Why?"}]}, {"role": "assistant", "parts": []}],
            "model": "m", "temperature": 0.7, "tools": [], "stop": ["\n"],
        })
    }

    #[test]
    fn difference_names_each_place_once_and_no_deeper_than_needed() {
        let mut later = chat();
        later["messages"][0]["parts"][0]["text"] = json!("How?");
        later["messages"][1]["parts"] = json!([{"text": "So."}]);
        later["temperature"] = json!(0.8);
        later["tools"] = json!([{"name": "search", "a b": 1}]);
        later["model"] = json!({"name": "m"});
        later.as_object_mut().unwrap().remove("stop");

        let found = difference(&later, &chat());

        let expected = [
            "messages[0].parts[0].text",
            "messages[1].parts[0] added",
            "model",
            "temperature",
            "tools[0] added",
            "stop removed",
        ];
        assert_eq!(found, expected);
        assert_eq!(difference(&chat(), &chat()), Vec::<String>::new());
        assert_eq!(difference(&json!(1), &json!(2)), ["the whole value"]);
    }

    #[test]
    fn odd_names_are_quoted_and_long_ones_are_digests() {
        let long = "the whole prompt as a key ".repeat(9);

        let found =
            difference(&json!({"a b": 1, "": 1, long: 1, "x": {"y.z": 1}}), &json!({"x": {"y.z": 2}}));

        assert_eq!([&*found[0], &found[2], &found[3]], [r#"[""] added"#, r#"["a b"] added"#, r#"x["y.z"]"#]);
        assert!(
            found[1].starts_with('#') && found[1].len() == "#0123456789abcdef added".len(),
            "{}",
            found[1]
        );
    }

    #[test]
    fn value_with_too_many_places_is_seen_from_above() {
        let messages = |last: &str| {
            let mut list = vec![json!({"role": "user", "text": "hi"}); 200];
            list[199]["text"] = json!(last);
            json!({"messages": list, "n": 1})
        };
        let huge = |last: u32| json!({"list": (0..300).chain([last]).collect::<Vec<_>>(), "n": last});

        assert_eq!(difference(&messages("a"), &messages("b")), ["messages[199]"]);
        assert_eq!(difference(&huge(1), &huge(2)), ["list", "n"]);
    }

    #[test]
    fn no_text_is_held() {
        let held = format!("{:?}", outline(&chat()));

        assert!(held.contains("role") && !held.contains("Why") && !held.contains("assistant"), "{held}");
    }

    #[test]
    fn closest_is_of_the_same_tenant_and_the_latest_of_the_nearest() {
        let recent = Recent::new(3);
        let key = |byte| Fingerprint::from_bytes([byte; 32]);
        let with = |model: &str, seed: u32| json!({"model": model, "seed": seed, "prompt": "p"});
        recent.note(key(0), outline(&with("a", 1))); // gives way
        recent.note(key(1), outline(&with("b", 2)));
        recent.note(key(2), outline(&with("c", 1)));
        recent.note(key(3), Outline::of("test", &Tenant::new("other"), &with("a", 1)).unwrap());

        let closest = recent.closest(&outline(&with("a", 1))).unwrap();

        assert_eq!(closest.key, key(2));
        assert_eq!(closest.differences, [Difference { path: "model".into(), change: Change::Changed }]);
        assert_eq!(recent.closest(&outline(&with("b", 2))).unwrap().differences, []);
        assert_eq!(Recent::default().closest(&outline(&1)), None);
    }

    proptest! {
        #[test]
        fn outlines_agree_with_fingerprints(a in value(), b in value()) {
            let print = |value| Fingerprint::of("test", &Tenant::default(), value).unwrap();

            prop_assert_eq!(outline(&a).difference(&outline(&b)).is_empty(), print(&a) == print(&b));
        }
    }
}
