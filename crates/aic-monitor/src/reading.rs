use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::{Absent, Labels, Moment};

/// One metric of one series at one moment: a value, or the reason why there is none.
///
/// Serialized as `{metric, labels, value, absent, at_unix_ms}`, where exactly one of `value` and `absent` is
/// not null.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The metric's name, in base units: `cpu_utilization_ratio`, `memory_used_bytes`.
    pub metric: Cow<'static, str>,
    /// Which series of the metric.
    pub labels: Labels,
    /// A finite number in the unit that the name ends with, or why there is none.
    pub value: Result<f64, Absent>,
    /// When it was read.
    pub at: Moment,
}

impl Reading {
    /// A reading without labels. A value that is not finite becomes [`Absent::Malformed`].
    pub fn new(metric: impl Into<Cow<'static, str>>, value: Result<f64, Absent>, at: Moment) -> Self {
        let value =
            value.and_then(|value| if value.is_finite() { Ok(value) } else { Err(Absent::Malformed) });
        Self { metric: metric.into(), labels: Labels::new(), value, at }
    }

    /// The same reading with one label more.
    pub fn label(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    /// The value for people: `1.5 GiB` for bytes, `42.0 %` for ratios, or the reason why there is none.
    pub fn pretty_value(&self) -> String {
        match self.value {
            Ok(value) => pretty(&self.metric, value),
            Err(reason) => format!("absent: {reason}"),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", self.metric, self.labels, self.pretty_value())
    }
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Reading", 5)?;
        fields.serialize_field("metric", &self.metric)?;
        fields.serialize_field("labels", &self.labels)?;
        fields.serialize_field("value", &self.value.ok())?;
        fields.serialize_field("absent", &self.value.err())?;
        fields.serialize_field("at_unix_ms", &self.at.unix_ms())?;
        fields.end()
    }
}

/// Formats `value` by the unit at the end of the metric's name.
fn pretty(metric: &str, value: f64) -> String {
    match metric.trim_end_matches("_total") {
        name if name.ends_with("_bytes") => pretty_bytes(value),
        name if name.ends_with("_bytes_per_second") => format!("{}/s", pretty_bytes(value)),
        name if name.ends_with("_ratio") => format!("{:.1} %", value * 100.0),
        name if name.ends_with("_celsius") => format!("{value:.0} °C"),
        name if name.ends_with("_watts") => format!("{value:.1} W"),
        name if name.ends_with("_seconds") => format!("{value:.2} s"),
        _ => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

pub(crate) fn pretty_bytes(bytes: f64) -> String {
    let mut scaled = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if scaled.abs() < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} PiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn reading(metric: &'static str, value: f64) -> Reading {
        Reading::new(metric, Ok(value), Moment::of(&SystemClock))
    }

    #[test]
    fn values_are_shown_in_the_unit_of_the_name() {
        let shown = |metric, value| reading(metric, value).pretty_value();

        assert_eq!(shown("memory_used_bytes", 1536.0 * 1024.0 * 1024.0), "1.5 GiB");
        assert_eq!(shown("network_receive_bytes_total", 12.0), "12 B");
        assert_eq!(shown("network_receive_bytes_per_second", 2048.0), "2.0 KiB/s");
        assert_eq!(shown("cpu_utilization_ratio", 0.421), "42.1 %");
        assert_eq!(shown("temperature_celsius", 61.4), "61 °C");
        assert_eq!(shown("load_average", 0.5), "0.5");
        assert_eq!(shown("process_threads", 10.0), "10");
    }

    #[test]
    fn a_value_that_is_no_number_is_absent_with_a_reason() {
        let reading = reading("load_average", f64::NAN).label("window", "1m");

        assert_eq!(reading.value, Err(Absent::Malformed));
        assert_eq!(reading.to_string(), r#"load_average{window="1m"} absent: malformed value"#);
    }
}
