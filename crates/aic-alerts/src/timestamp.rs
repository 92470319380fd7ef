//! Wall time in messages: RFC 3339, UTC, milliseconds.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serializer;

/// The last millisecond of the year 9999, beyond which RFC 3339 has no form.
const LATEST: Duration = Duration::from_millis(253_402_300_799_999);

pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LATEST);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

pub(crate) fn serialize_option<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_impossible_ones_are_clamped() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));

        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(at(400_000_000_000), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }
}
