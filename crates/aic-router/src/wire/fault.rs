//! What a server's error means.
//!
//! Servers name their errors by status, by a `type`, `code` or `status` in the body, or only in words. The
//! names decide where they are precise; then the status; then nothing is known but that it failed.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{ErrorKind, ProviderError};

/// What an answer of status `status` that is not a success means.
pub(crate) fn from_response(status: u16, retry_after: Option<Duration>, body: &[u8]) -> ProviderError {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let fault = Fault::of(&body);
    let wait = retry_after.or(fault.retry_delay);
    let kind = fault.named(wait).unwrap_or_else(|| by_status(status, wait));
    ProviderError::new(kind, format!("status {status}{}", fault.words()))
}

/// The error in a message that came under a success status, if it is one, in a list or not.
pub(crate) fn in_message(message: &Value) -> Result<(), ProviderError> {
    if message.get(0).unwrap_or(message).get("error").is_none_or(Value::is_null) {
        return Ok(());
    }
    let fault = Fault::of(message);
    let by_code = || fault.code.map(|code| by_status(code, fault.retry_delay));
    let kind = fault.named(fault.retry_delay).or_else(by_code).unwrap_or(ErrorKind::Transient);
    Err(ProviderError::new(kind, format!("an error within the answer{}", fault.words())))
}

/// How long a server's headers ask to wait: `retry-after-ms`, or `retry-after` in seconds or as a date, or else
/// until the last of the limits that are used up is restored.
pub(crate) fn retry_after(header: impl Fn(&str) -> Option<String>, now: SystemTime) -> Option<Duration> {
    asked(&header, now).or_else(|| restored(&header, now))
}

fn asked(header: &impl Fn(&str) -> Option<String>, now: SystemTime) -> Option<Duration> {
    let number = |text: String, unit: f64| {
        let seconds = text.trim().parse::<f64>().ok()? * unit;
        Duration::try_from_secs_f64(seconds).ok()
    };
    if let Some(wait) = header("retry-after-ms").and_then(|text| number(text, 0.001)) {
        return Some(wait);
    }
    let text = header("retry-after")?;
    let date = || httpdate::parse_http_date(text.trim()).ok();
    number(text.clone(), 1.0).or_else(|| Some(date()?.duration_since(now).unwrap_or_default()))
}

/// The longest wait among the limits of which nothing remains. A reset at once, as Azure sends, says nothing.
fn restored(header: &impl Fn(&str) -> Option<String>, now: SystemTime) -> Option<Duration> {
    let used_up = |name: &String| header(name).is_some_and(|left| left.trim() == "0");
    let until = |text: String| humantime::parse_rfc3339(text.trim()).ok()?.duration_since(now).ok();
    let lasting = |text: String| humantime::parse_duration(text.trim()).ok();
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(|limit| {
        used_up(&format!("anthropic-ratelimit-{limit}-remaining")).then_some(())?;
        until(header(&format!("anthropic-ratelimit-{limit}-reset"))?)
    });
    let openai = ["requests", "tokens"].into_iter().filter_map(|limit| {
        used_up(&format!("x-ratelimit-remaining-{limit}")).then_some(())?;
        lasting(header(&format!("x-ratelimit-reset-{limit}"))?)
    });
    anthropic.chain(openai).max().filter(|wait| !wait.is_zero())
}

fn by_status(status: u16, retry_after: Option<Duration>) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::QuotaExhausted,
        404 => ErrorKind::ModelNotFound,
        408 => ErrorKind::Timeout,
        413 => ErrorKind::ContextTooLong,
        429 => ErrorKind::RateLimited { retry_after },
        503 | 529 => ErrorKind::Overloaded { retry_after },
        400..=499 => ErrorKind::BadRequest,
        500.. => ErrorKind::Transient,
        _ => ErrorKind::Malformed,
    }
}

/// An error's names and words, taken out of its body.
#[derive(Debug, Default)]
struct Fault {
    names: Vec<String>,
    code: Option<u16>,
    message: String,
    retry_delay: Option<Duration>,
    daily: bool,
}

impl Fault {
    /// Takes `{"error": "…"}`, `{"error": {…}}` and either of them in a list.
    fn of(body: &Value) -> Self {
        let error = match body.get(0).unwrap_or(body).get("error") {
            Some(Value::String(message)) => {
                return Self { message: message.clone(), ..Self::default() };
            }
            Some(error) => error,
            None => return Self::default(),
        };
        let named = ["type", "code", "status"].map(|field| &error[field]).into_iter();
        let names = named.chain([&error["details"]["error_code"]]);
        let names = names.filter_map(|name| name.as_str().map(str::to_lowercase));
        let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            names: names.collect(),
            code: error["code"].as_u64().and_then(|code| code.try_into().ok()),
            message: error["message"].as_str().unwrap_or_default().into(),
            retry_delay: details.iter().find_map(retry_delay),
            daily: details.iter().any(is_daily),
        }
    }

    /// The kind, where names or words are precise.
    fn named(&self, retry_after: Option<Duration>) -> Option<ErrorKind> {
        let message = self.message.to_lowercase();
        let name = |names: &[&str]| self.names.iter().any(|own| names.contains(&own.as_str()));
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
        Some(if name(&["context_length_exceeded", "exceed_context_size_error"]) || says(TOO_LONG) {
            ErrorKind::ContextTooLong
        } else if self.daily || name(NOTHING_LEFT) || says(&["credit balance", "specified api usage limits"])
        {
            ErrorKind::QuotaExhausted
        } else if name(&["content_policy_violation", "content_filter"]) {
            ErrorKind::ContentPolicy
        } else if name(WRONG_KEY) || says(&["api key not valid"]) {
            ErrorKind::Auth
        } else if name(&["overloaded_error", "unavailable"]) || says(&["server busy"]) {
            ErrorKind::Overloaded { retry_after }
        } else if name(&["rate_limit_error", "rate_limit_exceeded", "resource_exhausted"]) {
            ErrorKind::RateLimited { retry_after }
        } else if says(&["does not support"]) {
            ErrorKind::Unsupported
        } else if name(&["model_not_found", "not_found_error", "not_found"]) || says(&["file does not exist"])
        {
            ErrorKind::ModelNotFound
        } else if name(&["timeout_error", "deadline_exceeded"]) {
            ErrorKind::Timeout
        } else if name(&["invalid_request_error", "invalid_argument"]) {
            ErrorKind::BadRequest
        } else {
            return None;
        })
    }

    /// The message, after a colon.
    fn words(&self) -> String {
        if self.message.is_empty() {
            return String::new();
        }
        format!(": {}", self.message)
    }
}

const TOO_LONG: &[&str] = &[
    "context length",
    "maximum context",
    "prompt is too long",
    "available context size",
    "input token count",
    "exceeds the maximum number of tokens",
    "exceed context limit",
];

const NOTHING_LEFT: &[&str] = &["insufficient_quota", "billing_error", "enforced_spend_limit_reached"];

const WRONG_KEY: &[&str] =
    &["invalid_api_key", "authentication_error", "permission_error", "unauthenticated", "permission_denied"];

/// Gemini's `RetryInfo`: `"34s"`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    let seconds = detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Gemini's `QuotaFailure` of a quota that is used up for the day.
fn is_daily(detail: &Value) -> bool {
    let quotas = detail["violations"].as_array().map_or(&[][..], Vec::as_slice);
    quotas.iter().any(|quota| quota["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_and_names_become_kinds() {
        let limited = |seconds| ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
        let busy = ErrorKind::Overloaded { retry_after: None };
        let delayed = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota, please check your plan and billing details",
            "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}});
        let daily = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
            "details": [{"violations": [{"quotaId": "RequestsPerDayPerProject"}]}]}}]);
        let cases = [
            (400, json!({"error": {"code": "context_length_exceeded"}}), ErrorKind::ContextTooLong),
            (
                400,
                json!({"error": {"type": "invalid_request_error", "message": "prompt is too long: 9"}}),
                ErrorKind::ContextTooLong,
            ),
            (
                400,
                json!({"error": {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}}),
                ErrorKind::Auth,
            ),
            (400, json!({"error": {"code": "content_policy_violation"}}), ErrorKind::ContentPolicy),
            (400, json!({"error": {"type": "invalid_request_error"}}), ErrorKind::BadRequest),
            (401, json!(null), ErrorKind::Auth),
            (400, json!({"error": "\"x:8b\" does not support tools"}), ErrorKind::Unsupported),
            (404, json!({"error": "model 'x' not found"}), ErrorKind::ModelNotFound),
            (500, json!({"error": "pull model manifest: file does not exist"}), ErrorKind::ModelNotFound),
            (429, json!({"error": {"code": "insufficient_quota"}}), ErrorKind::QuotaExhausted),
            (429, delayed, limited(34)),
            (429, daily, ErrorKind::QuotaExhausted),
            (
                429,
                json!({"error": {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}}),
                ErrorKind::QuotaExhausted,
            ),
            (
                400,
                json!({"error": {"type": "invalid_request_error",
                    "message": "input length and `max_tokens` exceed context limit: 9 + 9 > 10"}}),
                ErrorKind::ContextTooLong,
            ),
            (500, json!(null), ErrorKind::Transient),
            (503, json!({"error": "server busy, please try again"}), busy.clone()),
            (529, json!({"type": "error", "error": {"type": "overloaded_error"}}), busy),
            (302, json!(null), ErrorKind::Malformed),
        ];
        for (status, body, kind) in cases {
            let error = from_response(status, None, body.to_string().as_bytes());
            assert_eq!(*error.kind(), kind, "{status} {body}");
        }
    }

    #[test]
    fn message_without_an_error_passes() {
        assert!(in_message(&json!({"choices": [], "error": null})).is_ok());
        let error = in_message(&json!({"error": {"code": 503, "message": "later"}})).unwrap_err();
        assert_eq!(error.to_string(), "overloaded: an error within the answer: later");
        assert!(in_message(&json!([{"error": {"code": 500}}])).is_err() && in_message(&json!([])).is_ok());
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |name: &'static str, value: &'static str| {
            retry_after(|header| (header == name).then(|| value.to_owned()), now)
        };

        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(read("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"), Some(Duration::from_secs(23)));
        assert_eq!(read("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for wrong in ["-1", "NaN", "1e300", "soon"] {
            assert_eq!(read("retry-after", wrong), None, "{wrong}");
        }
    }
    #[test]
    fn limits_that_are_used_up_tell_how_long_to_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = |headers: &[(&str, &str)]| {
            let value = |name: &str| {
                headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
            };
            retry_after(value, now)
        };
        let anthropic = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:25Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2023-11-14T22:13:50Z"),
            ("anthropic-ratelimit-tokens-remaining", "1000"),
            ("anthropic-ratelimit-tokens-reset", "2023-11-14T23:00:00Z"),
        ];
        let openai = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0.5s")];
        let azure = [
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-reset-requests", "59s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "0"),
        ];

        assert_eq!(read(&anthropic), Some(Duration::from_secs(30)));
        assert_eq!(read(&openai), Some(Duration::from_millis(360_500)));
        assert_eq!(read(&azure), None);
        assert_eq!(read(&[("retry-after", "2"), openai[0], openai[1]]), Some(Duration::from_secs(2)));
        assert_eq!(read(&[openai[0], ("x-ratelimit-reset-tokens", "soon")]), None);
    }
}
