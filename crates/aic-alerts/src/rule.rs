use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::Timing;
use crate::template::{Template, Values};
use crate::{Error, Labels, Op, Result, Severity, duration};

const LONGEST_NAME: usize = 200;

/// When a metric is out of order, and what to say then. Always valid.
///
/// Read from a file, a rule has these keys; the last six may be left out:
///
/// ```
/// # let text = r#"
/// name = "disk_full"
/// metric = "disk_utilization_ratio"
/// op = ">="
/// threshold = 0.9
/// labels = { mount = "/" }
/// over = "1m"
/// for = "5m"
/// keep_firing_for = "1m"
/// absent_for = "1h"
/// severity = "critical"
/// summary = "disk {mount} is {value} full"
/// # "#;
/// # let rule: aic_alerts::Rule = toml::from_str(text).unwrap();
/// # assert_eq!(rule.name(), "disk_full");
/// ```
///
/// An unknown key is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RuleBuilder", into = "RuleBuilder")]
pub struct Rule {
    settings: RuleBuilder,
    template: Template,
}

/// Settings of a [`Rule`]; see [`Rule::builder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RuleBuilder {
    name: String,
    metric: String,
    op: Op,
    threshold: f64,
    #[serde(default)]
    labels: Labels,
    #[serde(default, with = "duration")]
    over: Duration,
    #[serde(rename = "for", default, with = "duration")]
    pending_for: Duration,
    #[serde(default, with = "duration")]
    keep_firing_for: Duration,
    #[serde(default = "one_hour", with = "duration")]
    absent_for: Duration,
    #[serde(default)]
    severity: Severity,
    #[serde(default = "plain_summary")]
    summary: String,
}

fn one_hour() -> Duration {
    Duration::from_secs(3600)
}

fn plain_summary() -> String {
    "{metric} is {value}".to_owned()
}

impl Rule {
    /// A rule that is broken while `metric` is `op` than `threshold`.
    pub fn builder(
        name: impl Into<String>,
        metric: impl Into<String>,
        op: Op,
        threshold: f64,
    ) -> RuleBuilder {
        RuleBuilder {
            name: name.into(),
            metric: metric.into(),
            op,
            threshold,
            labels: Labels::new(),
            over: Duration::ZERO,
            pending_for: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            absent_for: one_hour(),
            severity: Severity::default(),
            summary: plain_summary(),
        }
    }

    /// Its name, unique within one [`crate::Alerts`].
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The metric that it watches.
    pub fn metric(&self) -> &str {
        &self.settings.metric
    }

    /// How the value is compared.
    pub fn op(&self) -> Op {
        self.settings.op
    }

    /// What the value is compared with, in the metric's unit.
    pub fn threshold(&self) -> f64 {
        self.settings.threshold
    }

    /// How urgent its alerts are.
    pub fn severity(&self) -> Severity {
        self.settings.severity
    }

    /// The time over which the mean is taken; `None` for the latest value.
    pub fn over(&self) -> Option<Duration> {
        Some(self.settings.over).filter(|over| !over.is_zero())
    }

    /// Its durations.
    pub fn timing(&self) -> Timing {
        let RuleBuilder { pending_for, keep_firing_for, absent_for, .. } = self.settings;
        Timing { pending_for, keep_firing_for, absent_for }
    }

    /// Whether it watches the series `labels`: all its own labels are among them.
    pub fn watches(&self, labels: &Labels) -> bool {
        self.settings.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Whether `value` breaks it.
    pub fn is_broken_by(&self, value: f64) -> bool {
        self.op().holds(value, self.threshold())
    }

    /// What to say about the series `labels` at `value`.
    pub fn summary(&self, labels: &Labels, value: Option<f64>) -> String {
        let (rule, metric, threshold) = (self.name(), self.metric(), self.threshold());
        self.template.render(&Values { rule, metric, threshold, value, labels })
    }
}

impl RuleBuilder {
    /// Watch only series whose label `name` is `value`.
    ///
    /// Defaults to every series of the metric.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Compare the mean of the last `over` instead of the latest value.
    ///
    /// Defaults to zero, the latest value.
    pub fn over(mut self, over: Duration) -> Self {
        self.over = over;
        self
    }

    /// How long the rule must be broken before an alert fires.
    ///
    /// Defaults to zero. The key in a file is `for`, which Rust keeps for itself.
    pub fn pending_for(mut self, pending_for: Duration) -> Self {
        self.pending_for = pending_for;
        self
    }

    /// How long the rule must hold again, without a gap in the data, before an alert resolves.
    ///
    /// Defaults to zero.
    pub fn keep_firing_for(mut self, keep_firing_for: Duration) -> Self {
        self.keep_firing_for = keep_firing_for;
        self
    }

    /// How long data may be missing before an alert is given up.
    ///
    /// Defaults to one hour.
    pub fn absent_for(mut self, absent_for: Duration) -> Self {
        self.absent_for = absent_for;
        self
    }

    /// How urgent an alert is.
    ///
    /// Defaults to [`Severity::Warning`].
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What to say. `{value}`, `{threshold}`, `{metric}`, `{rule}` and the names of labels in braces are replaced;
    /// `{{` is a brace.
    ///
    /// Defaults to `{metric} is {value}`.
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Threshold`] or [`Error::Template`], naming the setting.
    pub fn build(self) -> Result<Rule> {
        check_name("rule name", &self.name)?;
        check_name("metric", &self.metric)?;
        let (rule, threshold) = (|| self.name.clone(), self.threshold);
        if !threshold.is_finite() {
            return Err(Error::Threshold { rule: rule(), threshold });
        }
        let template = Template::parse(&self.summary);
        let template = template.map_err(|position| Error::Template { rule: rule(), position })?;
        Ok(Rule { settings: self, template })
    }
}

impl TryFrom<RuleBuilder> for Rule {
    type Error = Error;

    fn try_from(settings: RuleBuilder) -> Result<Self> {
        settings.build()
    }
}

impl From<Rule> for RuleBuilder {
    fn from(rule: Rule) -> Self {
        rule.settings
    }
}

fn check_name(field: &'static str, value: &str) -> Result<()> {
    let known = |c: char| c.is_alphanumeric() || "_-.:/".contains(c);
    let fits = !value.is_empty() && value.len() <= LONGEST_NAME;
    if fits && value.chars().all(known) {
        Ok(())
    } else {
        Err(Error::Name { field, value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = r#"
        name = "hot"
        metric = "temperature_celsius"
        op = ">"
        threshold = 85
    "#;

    #[test]
    fn what_a_file_leaves_out_has_the_builders_defaults() {
        let read: Rule = toml::from_str(SHORT).unwrap();

        assert_eq!(read, Rule::builder("hot", "temperature_celsius", Op::Above, 85.0).build().unwrap());
        assert_eq!(read.over(), None);
        assert_eq!(read.timing().absent_for, Duration::from_secs(3600));
    }

    #[test]
    fn a_rule_written_and_read_again_is_the_same() {
        let rule = Rule::builder("disk_full", "disk_utilization_ratio", Op::AtLeast, 0.9)
            .label("mount", "/")
            .over(Duration::from_secs(90))
            .pending_for(Duration::from_millis(1500))
            .severity(Severity::Critical)
            .build()
            .unwrap();

        let text = toml::to_string(&rule).unwrap();

        assert!(text.contains("for = \"1s 500ms\""), "{text}");
        assert_eq!(toml::from_str::<Rule>(&text).unwrap(), rule);
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        let error = |line: &str| toml::from_str::<Rule>(&format!("{SHORT}\n{line}")).unwrap_err().to_string();

        assert!(error("threshhold = 1").contains("threshhold"));
        assert!(error("for = \"soon\"").contains("duration `soon`"));
        assert!(error("severity = \"awful\"").contains("awful"));
        assert!(error("summary = \"{\"").contains("unmatched brace at byte 0"));
        let infinite = SHORT.replace("85", "inf");
        assert!(
            toml::from_str::<Rule>(&infinite)
                .unwrap_err()
                .to_string()
                .contains("threshold inf of rule `hot`")
        );
    }

    #[test]
    fn names_that_no_log_could_show_are_refused() {
        for name in ["", "a b", "line\nbreak", &"x".repeat(201)] {
            let result = Rule::builder(name, "m", Op::Above, 0.0).build();
            assert!(matches!(result, Err(Error::Name { field: "rule name", .. })), "{name:?}");
        }
    }

    #[test]
    fn a_rule_with_labels_watches_the_series_that_have_them_all() {
        let rule = Rule::builder("r", "m", Op::Above, 0.0).label("kind", "full").build().unwrap();
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();

        assert!(rule.watches(&labels(&[("kind", "full"), ("resource", "io")])));
        assert!(!rule.watches(&labels(&[("kind", "some")])));
        assert!(!rule.watches(&Labels::new()));
    }
}
