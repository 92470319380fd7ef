/// What a model's name says of the fields it takes: over the versions some came and others went.
///
/// Models that are no Claude, as other servers of this protocol have, are taken for the oldest that think. A
/// Claude without a number is taken for the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    number: Option<(u32, u32)>,
    always_thinks: bool,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingMode {
    /// Not at all.
    None,
    /// By a number of tokens it may think.
    Budget,
    /// By an effort; it decides for itself how long it thinks.
    Adaptive,
}

impl Version {
    /// Reads `claude-3-7-sonnet-20250219`, `claude-opus-4-8`, `anthropic/claude-sonnet-4.5`.
    pub(super) fn of(model: &str) -> Self {
        let mut numbers = model.split(['-', '.', '/', '@', ':', '_']).filter_map(short_number);
        let newest = (u32::MAX, 0);
        let number = numbers.next().map_or(newest, |major| (major, numbers.next().unwrap_or(0)));
        Self {
            number: model.contains("claude").then_some(number),
            always_thinks: model.contains("mythos") || model.contains("fable"),
        }
    }

    pub(super) fn thinking(self) -> ThinkingMode {
        match self.number {
            Some(number) if number < (3, 7) => ThinkingMode::None,
            Some(number) if number >= (4, 6) => ThinkingMode::Adaptive,
            _ => ThinkingMode::Budget,
        }
    }

    /// Whether it cannot be told not to think.
    pub(super) fn always_thinks(self) -> bool {
        self.always_thinks
    }

    /// Whether it takes `temperature`, `top_p` and `top_k`; Claude 4.7 and later refuse them.
    pub(super) fn samples(self) -> bool {
        self.number.is_none_or(|number| number < (4, 7))
    }
}

/// A number of a version and not a date.
fn short_number(part: &str) -> Option<u32> {
    if part.len() > 2 { None } else { part.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_how_a_model_thinks_and_samples() {
        let cases = [
            ("claude-3-5-sonnet-20241022", ThinkingMode::None, true),
            ("claude-3-7-sonnet-20250219", ThinkingMode::Budget, true),
            ("claude-sonnet-4-20250514", ThinkingMode::Budget, true),
            ("claude-haiku-4-5", ThinkingMode::Budget, true),
            ("anthropic/claude-sonnet-4.5", ThinkingMode::Budget, true),
            ("claude-opus-4-6", ThinkingMode::Adaptive, true),
            ("claude-opus-4-8", ThinkingMode::Adaptive, false),
            ("claude-sonnet-5", ThinkingMode::Adaptive, false),
            ("claude-mythos-preview", ThinkingMode::Adaptive, false),
            ("kimi-k2", ThinkingMode::Budget, true),
        ];
        for (name, thinking, samples) in cases {
            let version = Version::of(name);
            assert_eq!((version.thinking(), version.samples()), (thinking, samples), "{name}");
        }
        assert!(Version::of("claude-fable-5").always_thinks());
    }
}
