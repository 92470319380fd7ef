//! Anthropic Messages.

use aic_router::{ModelInfo, Provider, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ANSWER_TOKENS, Dialect, KEY, MODEL, Refusal, Reply};

#[derive(Debug)]
pub(crate) struct Anthropic;

#[async_trait]
impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    async fn provider(&self, url: &str) -> Box<dyn Provider> {
        let provider = aic_router::Anthropic::at(&format!("{url}/v1"), KEY).unwrap();
        Box::new(provider.models([ModelInfo::chat(MODEL)]))
    }

    fn opening(&self) -> Vec<String> {
        let usage = json!({"input_tokens": 20, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0,
            "output_tokens": 1});
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": MODEL, "stop_reason": null, "stop_sequence": null, "usage": usage});
        let block = json!({"type": "text", "text": ""});
        vec![
            event(&json!({"type": "message_start", "message": message})),
            event(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
            self.ping(),
        ]
    }

    fn token(&self, text: &str) -> String {
        let delta = json!({"type": "text_delta", "text": text});
        event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }

    fn ending(&self, _: &str) -> Vec<String> {
        let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
        vec![
            event(&json!({"type": "content_block_stop", "index": 0})),
            event(
                &json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": ANSWER_TOKENS}}),
            ),
            event(&json!({"type": "message_stop"})),
        ]
    }

    fn usage(&self) -> Usage {
        Usage {
            input: 30,
            cached_input: Some(10),
            cache_write_input: Some(0),
            output: ANSWER_TOKENS as u64,
            ..Usage::default()
        }
    }

    fn refusal(&self, why: Refusal) -> Option<Reply> {
        Some(match why {
            Refusal::Busy(wait) => {
                let reply = error(429, "rate_limit_error", "This request would exceed your rate limit");
                match wait {
                    // A fraction of a second is not Anthropic's way, but a whole one is long for a test.
                    Some(wait) => reply.header("retry-after", wait.as_secs_f64().to_string()),
                    None => reply,
                }
            }
            Refusal::Broken => error(500, "api_error", "Internal server error"),
            Refusal::Unavailable => error(503, "overloaded_error", "Overloaded"),
            Refusal::TooLong => {
                error(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
            }
            Refusal::Filtered => {
                error(400, "invalid_request_error", "Output blocked by content filtering policy")
            }
            Refusal::NoPrefill => {
                error(400, "invalid_request_error", "This model does not support assistant message prefill")
            }
        })
    }

    fn error(&self) -> String {
        event(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    }

    fn ping(&self) -> String {
        event(&json!({"type": "ping"}))
    }

    fn bad_prefill(&self, prefill: &str) -> Option<Reply> {
        let message = "messages: final assistant content cannot end with trailing whitespace";
        prefill.ends_with(char::is_whitespace).then(|| error(400, "invalid_request_error", message))
    }
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    let error = json!({"type": kind, "message": message});
    Reply::new(status, json!({"type": "error", "error": error, "request_id": "req_1"}))
}
