use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::{Alerts, Clock, Error, Notifier, Result, Rule, Source, SystemClock};

/// Settings of [`Alerts`]; see [`Alerts::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AlertsBuilder {
    rules: Vec<Rule>,
    source: Option<Box<dyn Source>>,
    notifiers: Vec<Arc<dyn Notifier>>,
    delivery_timeout: Duration,
    clock: Box<dyn Clock>,
}

impl Default for AlertsBuilder {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            source: None,
            notifiers: Vec::new(),
            delivery_timeout: Duration::from_secs(10),
            clock: Box::new(SystemClock),
        }
    }
}

impl AlertsBuilder {
    /// A rule more. Names must be unique.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// More rules, for instance [`crate::default_rules`].
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Where the numbers come from. Required.
    pub fn source(mut self, source: impl Source) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// A notifier more. Names must be unique; without any, alerts are only in [`Alerts::active`].
    pub fn notifier(mut self, notifier: impl Notifier) -> Self {
        self.notifiers.push(Arc::new(notifier));
        self
    }

    /// How long one attempt of a delivery may take, whatever the notifier.
    ///
    /// Defaults to 10 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Where the time comes from.
    ///
    /// Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::NoSource`] without a source, [`Error::DuplicateRule`] or [`Error::DuplicateNotifier`] for two of
    /// one name.
    pub fn build(self) -> Result<Alerts> {
        if let Some(rule) = twin(self.rules.iter().map(Rule::name)) {
            return Err(Error::DuplicateRule { rule });
        }
        if let Some(notifier) = twin(self.notifiers.iter().map(Notifier::name)) {
            return Err(Error::DuplicateNotifier { notifier });
        }
        let source = self.source.ok_or(Error::NoSource)?;
        Ok(Alerts::new(self.rules, source, self.notifiers, self.delivery_timeout, self.clock))
    }
}

/// The first name that was there before.
fn twin<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name)).map(str::to_owned)
}
