//! Ollama's own chat.

use aic_router::{Provider, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ANSWER_TOKENS, Dialect, KEY, MODEL, Refusal, Reply};

#[derive(Debug)]
pub(crate) struct Ollama;

#[async_trait]
impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    async fn provider(&self, url: &str) -> Box<dyn Provider> {
        Box::new(aic_router::Ollama::builder(url).key(KEY).connect().await.unwrap())
    }

    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn token(&self, text: &str) -> String {
        line(&json!({"model": MODEL, "message": {"role": "assistant", "content": text}, "done": false}))
    }

    fn ending(&self, _: &str) -> Vec<String> {
        vec![line(&json!({"model": MODEL, "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": "stop", "total_duration": 9, "prompt_eval_count": 30, "eval_count": ANSWER_TOKENS}))]
    }

    fn usage(&self) -> Usage {
        Usage { input: 30, output: ANSWER_TOKENS as u64, ..Usage::default() }
    }

    fn refusal(&self, why: Refusal) -> Option<Reply> {
        Some(match why {
            // Ollama itself limits no rates; a proxy before it does.
            Refusal::Busy(wait) => {
                let reply = error(429, "too many requests");
                match wait {
                    Some(wait) => reply.header("retry-after", wait.as_secs_f64().to_string()),
                    None => reply,
                }
            }
            Refusal::Broken => error(500, "llama runner process has terminated"),
            Refusal::Unavailable => {
                error(503, "server busy, please try again. maximum pending requests exceeded")
            }
            Refusal::TooLong => error(400, "the prompt exceeds the available context size"),
            Refusal::Filtered => return None,
            Refusal::NoPrefill => error(400, "the last message must be the user's"),
        })
    }

    fn error(&self) -> String {
        self.frame(r#"{"error":"llama runner process has terminated"}"#)
    }

    fn frame(&self, text: &str) -> String {
        format!("{text}\n")
    }

    fn ping(&self) -> String {
        "\n".into()
    }

    fn aside(&self, line: &str) -> Option<Value> {
        Some(match line.split(' ').nth(1)? {
            "/api/chat" => return None,
            "/api/show" => {
                json!({"capabilities": ["completion"], "model_info": {"llama.context_length": 8192}})
            }
            _ => json!({"models": [{"name": MODEL, "details": {"family": "llama"}}]}),
        })
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn error(status: u16, message: &str) -> Reply {
    Reply::new(status, json!({"error": message}))
}
