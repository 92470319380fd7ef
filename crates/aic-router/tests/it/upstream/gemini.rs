//! Gemini's `streamGenerateContent`, as server-sent events.

use aic_router::{ModelInfo, Provider, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::dialect::prefill;
use super::{ANSWER_TOKENS, Dialect, KEY, MODEL, Refusal, Reply};

#[derive(Debug)]
pub(crate) struct Gemini;

#[async_trait]
impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    async fn provider(&self, url: &str) -> Box<dyn Provider> {
        let provider = aic_router::Gemini::at(&format!("{url}/v1beta"), KEY).unwrap();
        Box::new(provider.models([ModelInfo::chat(MODEL)]))
    }

    fn token(&self, text: &str) -> String {
        let content = json!({"role": "model", "parts": [{"text": text}]});
        part(&json!({"content": content, "index": 0}), 1)
    }

    fn ending(&self, _: &str) -> Vec<String> {
        let content = json!({"role": "model", "parts": [{"text": ""}]});
        vec![part(&json!({"content": content, "finishReason": "STOP", "index": 0}), ANSWER_TOKENS)]
    }

    fn usage(&self) -> Usage {
        Usage { input: 30, cached_input: Some(10), output: ANSWER_TOKENS as u64, ..Usage::default() }
    }

    fn refusal(&self, why: Refusal) -> Option<Reply> {
        Some(match why {
            Refusal::Busy(None) => {
                error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted", &json!([]))
            }
            Refusal::Busy(Some(wait)) => {
                let delay = format!("{}s", wait.as_secs_f64());
                let info =
                    json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
                error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", &info)
            }
            Refusal::Broken => error(500, "INTERNAL", "An internal error has occurred", &json!([])),
            Refusal::Unavailable => error(503, "UNAVAILABLE", "The model is overloaded", &json!([])),
            Refusal::TooLong => {
                let message = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
                error(400, "INVALID_ARGUMENT", message, &json!([]))
            }
            // A blocked prompt is an answer without candidates.
            Refusal::Filtered => {
                let frame = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 30}});
                Reply::new(200, frame)
            }
            Refusal::NoPrefill => {
                error(400, "INVALID_ARGUMENT", "Please end the conversation with a user turn.", &json!([]))
            }
        })
    }

    /// Gemini's errors within a stream are whole documents of several lines.
    fn error(&self) -> String {
        self.frame(r#"{"error":{"code":503,"message":"The model is overloaded","status":"UNAVAILABLE"}}"#)
    }

    fn frame(&self, text: &str) -> String {
        format!("data: {text}\r\n\r\n")
    }

    fn prefill(&self, body: &Value) -> Option<String> {
        prefill(&body["contents"], "model", "parts")
    }
}

fn part(candidate: &Value, output: usize) -> String {
    let usage = json!({"promptTokenCount": 30, "cachedContentTokenCount": 10, "candidatesTokenCount": output,
        "totalTokenCount": 30 + output});
    let part = json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL});
    format!("data: {part}\r\n\r\n")
}

fn error(status: u16, name: &str, message: &str, details: &Value) -> Reply {
    let error = json!({"code": status, "message": message, "status": name, "details": details});
    Reply::new(status, json!({"error": error}))
}
