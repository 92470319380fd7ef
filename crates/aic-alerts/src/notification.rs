use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use crate::{Labels, Severity, timestamp};

/// Whether a notification announces an alert or ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has begun.
    Firing,
    /// It is over.
    Resolved,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Firing { "firing" } else { "resolved" })
    }
}

/// What is told about an alert when it fires and when it resolves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Notification {
    /// Whether the alert begins or ends.
    pub status: Status,
    /// The rule's name.
    pub rule: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The metric.
    pub metric: String,
    /// The series.
    pub labels: Labels,
    /// The value that decided; `None` where the data is missing.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// The rule's summary, filled in.
    pub summary: String,
    /// When it began to fire.
    #[serde(serialize_with = "timestamp::serialize")]
    pub started_at: SystemTime,
    /// When it resolved.
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub ended_at: Option<SystemTime>,
    /// Whether it ended because the data went missing, not because all is well.
    pub for_lack_of_data: bool,
    /// The same for every notification of one alert: 16 hexadecimal digits from rule and labels.
    pub fingerprint: String,
}

/// 64-bit FNV-1a (Fowler, Noll and Vo; RFC 9923) over the rule and the labels, each string ended by a byte that
/// no UTF-8 has.
pub(crate) fn fingerprint(rule: &str, labels: &Labels) -> String {
    let texts = std::iter::once(rule).chain(labels.iter().flat_map(|(name, value)| [name.as_str(), value]));
    let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// One line for people, in which control characters are escaped: a label cannot forge a second line.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} {}] {}: ", self.severity, self.status, self.rule)?;
        for c in self.summary.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.for_lack_of_data { f.write_str(" (given up for lack of data)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::notification;

    #[test]
    fn fingerprint_is_the_same_for_the_same_alert_only() {
        let labels = |value: &str| Labels::from([("mount".to_owned(), value.to_owned())]);

        assert_eq!(fingerprint("full", &labels("/")), fingerprint("full", &labels("/")));
        assert_ne!(fingerprint("full", &labels("/")), fingerprint("full", &labels("/a")));
        assert_ne!(
            fingerprint("ab", &Labels::new()),
            fingerprint("a", &Labels::from([("b".into(), String::new())]))
        );
        assert_eq!(fingerprint("full", &Labels::new()).len(), 16);
    }

    #[test]
    fn line_break_in_a_label_stays_in_the_line() {
        let mut notification = notification(Status::Firing);
        notification.summary = "disk /a\n[critical] fake \u{1b}[31m".into();

        assert_eq!(
            notification.to_string(),
            "[warning firing] example: disk /a\\n[critical] fake \\u{1b}[31m"
        );
    }
}
