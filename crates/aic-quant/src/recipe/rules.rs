use std::fmt;

use regex::Regex;

use super::role::{is_weight, layer};
use crate::{DType, Error, Result, TensorInfo};

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// Types for the tensors that patterns name; the first pattern that matches a name decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    pattern: Regex,
    dtype: DType,
}

impl Rules {
    /// Adds a rule behind the others.
    pub(crate) fn add(&mut self, pattern: &str, dtype: DType) -> Result<()> {
        let pattern = pattern.trim();
        if pattern.is_empty() || pattern.contains('=') {
            return Err(Error::Option {
                option: "rule",
                value: format!("`{pattern}={dtype}`"),
                expected: "a pattern without `=`, and a type",
            });
        }
        let compiled = Regex::new(pattern);
        let pattern = compiled
            .map_err(|source| Error::Pattern { pattern: pattern.to_owned(), source: source.into() })?;
        self.0.push(Rule { pattern, dtype });
        Ok(())
    }

    /// The type of the first rule that matches the weight; `None` for tensors that are never quantized.
    pub(crate) fn find(&self, tensor: &TensorInfo) -> Option<DType> {
        let matches = |rule: &&Rule| is_weight(tensor) && rule.pattern.is_match(&tensor.name);
        self.0.iter().find(matches).map(|rule| rule.dtype)
    }

    /// That every rule matches some weight.
    ///
    /// # Errors
    /// [`Error::UnmatchedRule`] about the first that does not.
    pub(crate) fn check(&self, tensors: &[TensorInfo]) -> Result<()> {
        let names = || tensors.iter().filter(|tensor| is_weight(tensor)).map(|tensor| tensor.name.as_str());
        match self.0.iter().find(|rule| !names().any(|name| rule.pattern.is_match(name))) {
            None => Ok(()),
            Some(rule) => Err(Error::UnmatchedRule {
                pattern: rule.pattern.to_string(),
                near: nearest(rule.pattern.as_str(), names()),
            }),
        }
    }

    /// The types the rules name.
    pub(crate) fn dtypes(&self) -> impl Iterator<Item = DType> {
        self.0.iter().map(|rule| rule.dtype)
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Rules {
    /// Each rule as `,pattern=TYPE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|rule| write!(f, ",{}={}", rule.pattern, rule.dtype))
    }
}

/// The names most like `pattern`, layers left out, best first.
fn nearest<'a>(pattern: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut parts: Vec<&str> = names.map(|name| layer(name).1.trim_end_matches(".weight")).collect();
    parts.sort_unstable();
    parts.dedup();
    parts.sort_by(|a, b| likeness(pattern, b).total_cmp(&likeness(pattern, a)));
    parts.into_iter().take(SUGGESTIONS).map(str::to_owned).collect()
}

/// The share of letter pairs two texts have in common, 0 to 1 (Dice 1945).
fn likeness(a: &str, b: &str) -> f64 {
    let pairs = |text: &str| text.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (first, mut second) = (pairs(a), pairs(b));
    let total = first.len() + second.len();
    let common = first.iter().filter(|pair| {
        let found = second.iter().position(|other| other == *pair);
        found.map(|at| second.swap_remove(at)).is_some()
    });
    2.0 * common.count() as f64 / total.max(1) as f64
}
