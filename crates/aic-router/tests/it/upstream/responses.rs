//! OpenAI Responses.

use aic_router::{OpenAiApi, Provider, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::dialect::prefill;
use super::openai::OpenAi;
use super::{ANSWER_TOKENS, Dialect, KEY, MODEL, Refusal, Reply};

#[derive(Debug)]
pub(crate) struct Responses;

#[async_trait]
impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "responses"
    }

    async fn provider(&self, url: &str) -> Box<dyn Provider> {
        let builder = aic_router::OpenAi::builder(format!("{url}/v1")).api(OpenAiApi::Responses);
        Box::new(builder.name("responses").key(KEY).model(MODEL).build().unwrap())
    }

    fn opening(&self) -> Vec<String> {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": []});
        let part = json!({"type": "output_text", "text": "", "annotations": []});
        vec![
            event("response.created", &json!({"response": response("in_progress", &json!([]))})),
            event("response.output_item.added", &json!({"output_index": 0, "item": message})),
            event(
                "response.content_part.added",
                &json!({"item_id": "msg_1", "content_index": 0, "part": part}),
            ),
        ]
    }

    fn token(&self, text: &str) -> String {
        let delta = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text});
        event("response.output_text.delta", &delta)
    }

    fn ending(&self, said: &str) -> Vec<String> {
        let part = json!({"type": "output_text", "text": said, "annotations": []});
        let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [part]});
        let mut whole = response("completed", &json!([item]));
        whole["usage"] = json!({"input_tokens": 30, "input_tokens_details": {"cached_tokens": 10},
            "output_tokens": ANSWER_TOKENS, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 30 + ANSWER_TOKENS});
        vec![
            event("response.output_item.done", &json!({"output_index": 0, "item": item})),
            event("response.completed", &json!({"response": whole})),
        ]
    }

    fn usage(&self) -> Usage {
        OpenAi.usage()
    }

    /// The errors in place of an answer are those of Chat Completions.
    fn refusal(&self, why: Refusal) -> Option<Reply> {
        OpenAi.refusal(why)
    }

    fn error(&self) -> String {
        event("error", &json!({"code": "server_error", "message": "The server had an error", "param": null}))
    }

    fn prefill(&self, body: &Value) -> Option<String> {
        prefill(&body["input"], "assistant", "content")
    }
}

fn response(status: &str, output: &Value) -> Value {
    json!({"id": "resp_1", "object": "response", "status": status, "model": MODEL, "output": output})
}

fn event(name: &str, data: &Value) -> String {
    let mut data = data.clone();
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n")
}
