use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Names and values that tell the series of one metric apart, such as `mount="/"`.
///
/// Sorted by name; each name occurs once. Keep them few and their values from a small set: each combination is
/// a series of its own in the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<(Cow<'static, str>, String)>);

impl Labels {
    /// No labels.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The same labels with `name` set to `value`.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Name and value pairs, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::new(), |labels, (name, value)| labels.with(name, value))
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>, const LEN: usize> From<[(N, V); LEN]> for Labels {
    fn from(pairs: [(N, V); LEN]) -> Self {
        pairs.into_iter().collect()
    }
}

/// `{a="1",b="2"}`, or nothing where there are none.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let before = if i == 0 { '{' } else { ',' };
            write!(f, "{before}{name}={value:?}")?;
        }
        if self.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_set_in_another_order_are_equal() {
        let one = Labels::from([("a", "1"), ("b", "2")]);
        let other = Labels::new().with("b", "2").with("a", "0").with("a", "1");

        assert_eq!(one, other);
        assert_eq!(other.to_string(), r#"{a="1",b="2"}"#);
        assert_eq!(Labels::new().to_string(), "");
    }
}
