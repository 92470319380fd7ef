use std::ops::RangeInclusive;

use serde::Serialize;

use crate::configuration::{Configuration, Value};
use crate::error::{Error, Result};

/// The parameters to search, each with its domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SearchSpace {
    parameters: Vec<(String, Domain)>,
}

/// The values a parameter may take. Bounds are inclusive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Domain {
    /// Finite numbers.
    Float {
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
        /// Whether ratios matter rather than differences; then `low` is above zero.
        log: bool,
    },
    /// Integers of at most 2^53 in size.
    Int {
        /// Smallest.
        low: i64,
        /// Largest.
        high: i64,
        /// Whether ratios matter rather than differences; then `low` is above zero.
        log: bool,
    },
    /// One of some names, in no order.
    Categorical {
        /// The names.
        choices: Vec<String>,
    },
}

impl SearchSpace {
    /// Starts a search space.
    pub fn builder() -> SearchSpaceBuilder {
        SearchSpaceBuilder { parameters: Vec::new() }
    }

    /// The parameters, in the order they were added.
    pub fn parameters(&self) -> &[(String, Domain)] {
        &self.parameters
    }

    /// Checks that a configuration has a value for each parameter, within its domain, and nothing else.
    ///
    /// # Errors
    /// [`Error::OutsideSpace`] with the first name that is wrong.
    pub fn check(&self, configuration: &Configuration) -> Result<()> {
        let inside =
            |(name, domain): &&(String, Domain)| configuration.get(name).is_some_and(|v| domain.contains(v));
        let wrong =
            self.parameters.iter().find(|parameter| !inside(parameter)).map(|(name, _)| name.as_str());
        let known = |name: &str| self.parameters.iter().any(|(known, _)| known == name);
        let unknown = || configuration.iter().map(|(name, _)| name).find(|name| !known(name));
        match wrong.or_else(unknown) {
            Some(name) => Err(Error::OutsideSpace { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}

impl Domain {
    /// Whether a value is of this domain's kind and within it.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Float { low, high, .. }, Value::Float(value)) => low <= value && value <= high,
            (Self::Int { low, high, .. }, Value::Int(value)) => low <= value && value <= high,
            (Self::Categorical { choices }, Value::Choice(value)) => choices.contains(value),
            _ => false,
        }
    }
}

/// Builds a [`SearchSpace`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SearchSpaceBuilder {
    parameters: Vec<(String, Domain)>,
}

impl SearchSpaceBuilder {
    /// Adds a number.
    pub fn float(self, name: impl Into<String>, range: RangeInclusive<f64>) -> Self {
        self.with(name, Domain::Float { low: *range.start(), high: *range.end(), log: false })
    }

    /// Adds a number above zero of which ratios matter: 0.001 is as far from 0.01 as 0.1 is from 1.
    pub fn log_float(self, name: impl Into<String>, range: RangeInclusive<f64>) -> Self {
        self.with(name, Domain::Float { low: *range.start(), high: *range.end(), log: true })
    }

    /// Adds an integer.
    pub fn int(self, name: impl Into<String>, range: RangeInclusive<i64>) -> Self {
        self.with(name, Domain::Int { low: *range.start(), high: *range.end(), log: false })
    }

    /// Adds an integer above zero of which ratios matter, such as a batch size.
    pub fn log_int(self, name: impl Into<String>, range: RangeInclusive<i64>) -> Self {
        self.with(name, Domain::Int { low: *range.start(), high: *range.end(), log: true })
    }

    /// Adds a choice between names.
    pub fn categorical<S: Into<String>>(
        self,
        name: impl Into<String>,
        choices: impl IntoIterator<Item = S>,
    ) -> Self {
        self.with(name, Domain::Categorical { choices: choices.into_iter().map(Into::into).collect() })
    }

    /// Finishes the space.
    ///
    /// # Errors
    /// [`Error::EmptySpace`] without parameters, [`Error::DuplicateParameter`] for a repeated name, [`Error::Domain`] for
    /// an empty or infinite range, a logarithmic one that reaches zero, or choices that are missing or repeated.
    pub fn build(self) -> Result<SearchSpace> {
        if self.parameters.is_empty() {
            return Err(Error::EmptySpace);
        }
        for (place, (name, domain)) in self.parameters.iter().enumerate() {
            if self.parameters[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::DuplicateParameter { name: name.clone() });
            }
            domain.check().map_err(|reason| Error::Domain { name: name.clone(), reason })?;
        }
        Ok(SearchSpace { parameters: self.parameters })
    }

    fn with(mut self, name: impl Into<String>, domain: Domain) -> Self {
        self.parameters.push((name.into(), domain));
        self
    }
}

/// Up to here every integer has its own floating-point number.
const MAX_INT: i64 = 1 << 53;

impl Domain {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Float { low, high, log } => check_floats(*low, *high, *log),
            Self::Int { low, high, log } => check_ints(*low, *high, *log),
            Self::Categorical { choices } => check_choices(choices),
        }
    }
}

fn check_floats(low: f64, high: f64, log: bool) -> Result<(), String> {
    if !(high - low).is_finite() || low > high {
        return Err(format!("{low} to {high} is not a finite range"));
    }
    check_log(log, low)
}

fn check_ints(low: i64, high: i64, log: bool) -> Result<(), String> {
    if low > high || low < -MAX_INT || high > MAX_INT {
        return Err(format!("{low} to {high} is empty or passes 2^53"));
    }
    check_log(log, low as f64)
}

fn check_log(log: bool, low: f64) -> Result<(), String> {
    if log && low <= 0.0 {
        return Err(format!("a logarithmic range starts above 0, not at {low}"));
    }
    Ok(())
}

fn check_choices(choices: &[String]) -> Result<(), String> {
    if choices.is_empty() {
        return Err("there is nothing to choose from".to_owned());
    }
    let repeated = (1..choices.len()).find(|&place| choices[..place].contains(&choices[place]));
    repeated.map_or(Ok(()), |place| Err(format!("choice `{}` is given twice", choices[place])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: SearchSpaceBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn a_domain_that_cannot_be_searched_is_refused_with_its_values() {
        let new = SearchSpace::builder;

        assert_eq!(refusal(new()), "the search space has no parameter");
        assert_eq!(refusal(new().int("n", 1..=2).float("n", 0.0..=1.0)), "parameter `n` is given twice");
        assert_eq!(refusal(new().float("x", 1.0..=0.0)), "parameter `x`: 1 to 0 is not a finite range");
        assert_eq!(
            refusal(new().float("x", f64::NAN..=0.0)),
            "parameter `x`: NaN to 0 is not a finite range"
        );
        assert_eq!(
            refusal(new().log_int("n", 0..=8)),
            "parameter `n`: a logarithmic range starts above 0, not at 0"
        );
        assert_eq!(
            refusal(new().int("n", 0..=i64::MAX)),
            "parameter `n`: 0 to 9223372036854775807 is empty or passes 2^53"
        );
        assert_eq!(refusal(new().categorical("c", ["a", "a"])), "parameter `c`: choice `a` is given twice");
        assert_eq!(
            refusal(new().categorical::<&str>("c", [])),
            "parameter `c`: there is nothing to choose from"
        );
    }

    #[test]
    fn a_configuration_is_checked_for_missing_wrong_and_foreign_values() {
        let space = SearchSpace::builder().int("n", 1..=4).categorical("c", ["a", "b"]).build().unwrap();
        let good = Configuration::new().with("n", 4).with("c", "b");

        assert!(space.check(&good).is_ok());
        assert!(space.check(&Configuration::new().with("n", 4)).is_err());
        assert!(space.check(&good.clone().with("n", 5)).is_err());
        assert!(space.check(&good.clone().with("n", 2.0)).is_err());
        assert!(space.check(&good.with("other", 1)).is_err());
    }
}
