//! Versions compared as numbers.

/// Whether `version` is `least` or newer; missing parts count as 0. `None` if either is no version.
pub(crate) fn at_least(version: &str, least: &str) -> Option<bool> {
    Some(parts(version)? >= parts(least)?)
}

/// Major, minor and patch; what follows a `-` or `+` is left out.
fn parts(version: &str) -> Option<[u32; 3]> {
    let mut parts = [0; 3];
    let numbers = version.trim().split(['-', '+']).next()?;
    for (at, number) in numbers.split('.').enumerate() {
        *parts.get_mut(at)? = number.parse().ok()?;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_not_as_text() {
        assert_eq!(at_least("1.100.0", "1.95"), Some(true));
        assert_eq!(at_least("1.95.0", "1.95"), Some(true));
        assert_eq!(at_least("1.94.1", "1.95"), Some(false));
        assert_eq!(at_least("1.96.0-nightly", "1.95"), Some(true));
    }

    #[test]
    fn text_that_is_no_version_is_unknown() {
        assert_eq!(at_least("nightly", "1.95"), None);
        assert_eq!(at_least("", "1.95"), None);
        assert_eq!(at_least("1.2.3.4", "1.95"), None);
    }
}
