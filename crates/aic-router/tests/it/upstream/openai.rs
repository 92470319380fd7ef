//! OpenAI Chat Completions.

use aic_router::{Provider, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ANSWER_TOKENS, Dialect, KEY, MODEL, Refusal, Reply};

#[derive(Debug)]
pub(crate) struct OpenAi;

#[async_trait]
impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    async fn provider(&self, url: &str) -> Box<dyn Provider> {
        let builder = aic_router::OpenAi::builder(format!("{url}/v1"));
        Box::new(builder.name("openai").key(KEY).model(MODEL).build().unwrap())
    }

    fn opening(&self) -> Vec<String> {
        vec![self.ping(), chunk(&json!([{"index": 0, "delta": {"role": "assistant", "content": ""}}]), None)]
    }

    fn token(&self, text: &str) -> String {
        chunk(&json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]), None)
    }

    fn ending(&self, _: &str) -> Vec<String> {
        let usage = json!({"prompt_tokens": 30, "completion_tokens": ANSWER_TOKENS, "total_tokens": 30 + ANSWER_TOKENS,
            "prompt_tokens_details": {"cached_tokens": 10}});
        vec![
            chunk(&json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), None),
            chunk(&json!([]), Some(&usage)),
            "data: [DONE]\n\n".into(),
        ]
    }

    fn usage(&self) -> Usage {
        Usage { input: 30, cached_input: Some(10), output: ANSWER_TOKENS as u64, ..Usage::default() }
    }

    fn refusal(&self, why: Refusal) -> Option<Reply> {
        let invalid = "invalid_request_error";
        let error = |status, code: &str, kind: &str, message: &str| {
            let error = json!({"message": message, "type": kind, "param": null, "code": code});
            Reply::new(status, json!({"error": error}))
        };
        Some(match why {
            Refusal::Busy(wait) => {
                let reply = error(429, "rate_limit_exceeded", "requests", "Rate limit reached");
                match wait {
                    Some(wait) => reply.header("retry-after-ms", wait.as_millis().to_string()),
                    None => reply,
                }
            }
            Refusal::Broken => Reply::new(
                500,
                json!({"error": {"message": "The server had an error", "type": "server_error"}}),
            ),
            Refusal::Unavailable => {
                Reply::new(503, json!({"error": {"message": "Engine overloaded", "type": "server_error"}}))
            }
            Refusal::TooLong => {
                let message = "This model's maximum context length is 8 tokens.";
                error(400, "context_length_exceeded", invalid, message)
            }
            Refusal::Filtered => error(400, "content_policy_violation", invalid, "Your request was rejected"),
            Refusal::NoPrefill => error(400, "invalid_value", invalid, "The last message must be the user's"),
        })
    }

    fn error(&self) -> String {
        self.frame(r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#)
    }
}

fn chunk(choices: &Value, usage: Option<&Value>) -> String {
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
        "choices": choices, "usage": usage});
    format!("data: {chunk}\n\n")
}
