use crate::{Error, Result};

/// How many requests a model answers at once, and how they share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Most requests that wait; one more is refused. At least 1. Defaults to 256.
    pub waiting: usize,
    /// Most requests that are answered at once. At least 1. Defaults to 32.
    pub running: usize,
    /// Most tokens that go through the model in one pass, at least `running`. First come the answers being written, one token
    /// each; prompts share the rest. More reads prompts faster, less lets answers flow more evenly beside them. Defaults to 256.
    pub step_tokens: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { waiting: 256, running: 32, step_tokens: 256 }
    }
}

impl ServeOptions {
    /// Checks every range.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |option, value: usize, expected| {
            Err(Error::Option { option, value: value.to_string(), expected })
        };
        if self.waiting == 0 {
            return wrong("waiting", 0, "at least 1");
        }
        if self.running == 0 {
            return wrong("running", 0, "at least 1");
        }
        if self.step_tokens < self.running {
            return wrong("step_tokens", self.step_tokens, "at least as many as requests running");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let standard = ServeOptions::default();
        assert!(standard.check().is_ok());
        for (wrong, name) in [
            (ServeOptions { waiting: 0, ..standard }, "waiting"),
            (ServeOptions { running: 0, ..standard }, "running"),
            (ServeOptions { running: 8, step_tokens: 7, ..standard }, "step_tokens"),
        ] {
            assert!(matches!(wrong.check(), Err(Error::Option { option, .. }) if option == name));
        }
    }
}
