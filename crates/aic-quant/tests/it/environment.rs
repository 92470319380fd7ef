//! Things tests need from outside.
use std::env;

/// The value of `variable`, or `None` after saying that the test is skipped.
pub(crate) fn or_skip(variable: &str) -> Option<String> {
    let value = env::var(variable).ok();
    if value.is_none() {
        assert!(env::var("AIC_TEST_REQUIRE").as_deref() != Ok("1"), "{variable} is not set");
        eprintln!("skipped: {variable} is not set; run `cargo xtask test`");
    }
    value
}
