//! What Ollama is asked.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::context::Bounds;
use super::{ECHO, is_embedding};
use crate::wire::arguments;
use crate::{
    Ability, ChatRequest, EmbedRequest, ErrorKind, Media, Message, ModelInfo, OllamaOptions, Part,
    ProviderError, ReasoningEffort, ResponseFormat, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult,
};

/// The longest time Ollama can count, which is in nanoseconds.
const KEEP_ALIVE_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// What is said of a model in every request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) options: OllamaOptions,
}

/// One model as it is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) model: &'a ModelInfo,
    pub(crate) settings: &'a Settings,
    /// The size of the context it is loaded with, where that is known.
    pub(crate) loaded_context: Option<u64>,
}

impl Target<'_> {
    /// The body of a chat.
    ///
    /// Nothing is cut: neither the conversation (`truncate`) nor, while the answer is written, its beginning
    /// (`shift`). Servers from before these two leave them out of account.
    pub(crate) fn chat(self, request: &ChatRequest) -> Result<Value, ProviderError> {
        if request.messages.is_empty() {
            return Err(refused(ErrorKind::BadRequest, "the conversation has no message"));
        }
        let context = self.bounds().for_chat(request, self.loaded_context)?;
        let fields = [
            ("messages", Some(messages(request)?.into())),
            ("stream", Some(true.into())),
            ("truncate", Some(false.into())),
            ("shift", Some(false.into())),
            ("tools", tools(request)?),
            ("format", request.response_format.as_ref().map(format)),
            ("think", request.reasoning.and_then(|effort| think(self.model, effort))),
        ];
        Ok(self.body(fields, sampling(request).chain(self.load_options(context))))
    }

    /// The body of a request for vectors. A text that is too long is an error, and not cut.
    pub(crate) fn embed(self, request: &EmbedRequest) -> Value {
        let context = self.bounds().for_embedding(request, self.loaded_context);
        let fields = [
            ("input", Some(json!(request.inputs))),
            ("truncate", Some(false.into())),
            ("dimensions", request.dimensions.map(Value::from)),
        ];
        self.body(fields, self.load_options(context))
    }

    /// Where and what to ask for nothing but loading the model.
    pub(crate) fn preload(self) -> (&'static str, Value) {
        let nothing = || Some(json!([]));
        let options = self.load_options(self.bounds().least());
        if is_embedding(self.model) {
            return ("api/embed", self.body([("input", nothing())], options));
        }
        ("api/chat", self.body([("messages", nothing()), ("stream", Some(false.into()))], options))
    }

    fn bounds(self) -> Bounds {
        Bounds::new(self.model, &self.settings.options)
    }

    /// `fields` and `options`, with the model's name and how long it stays.
    fn body<const N: usize>(
        self,
        fields: [Field; N],
        options: impl Iterator<Item = (String, Value)>,
    ) -> Value {
        let common = [
            ("model", Some(self.model.name.as_str().into())),
            ("keep_alive", self.settings.keep_alive.map(keep_alive)),
            ("options", Some(options.collect())),
        ];
        present(common).chain(present(fields)).collect()
    }

    /// What a model is loaded with. The same in every request, or the model would be loaded anew.
    fn load_options(self, context: u64) -> impl Iterator<Item = (String, Value)> {
        let options = &self.settings.options;
        present([
            ("num_ctx", Some(context.into())),
            ("num_batch", options.batch_tokens.map(Value::from)),
            ("num_gpu", options.gpu_layers.map(Value::from)),
            ("main_gpu", options.main_gpu.map(Value::from)),
            ("num_thread", options.threads.map(Value::from)),
            ("use_mmap", options.mmap.map(Value::from)),
        ])
    }
}

/// A field that may be left out.
type Field = (&'static str, Option<Value>);

/// The fields that are there.
fn present<const N: usize>(fields: [Field; N]) -> impl Iterator<Item = (String, Value)> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// The body that unloads a model.
pub(crate) fn unload_body(model: &str) -> Value {
    json!({"model": model, "messages": [], "stream": false, "keep_alive": 0})
}

/// In whole seconds; negative for ever.
fn keep_alive(time: Duration) -> Value {
    if time >= KEEP_ALIVE_MAX {
        return json!(-1);
    }
    json!(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

fn sampling(request: &ChatRequest) -> impl Iterator<Item = (String, Value)> {
    present([
        ("num_predict", request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("top_k", request.top_k.map(Value::from)),
        ("frequency_penalty", request.frequency_penalty.map(Value::from)),
        ("presence_penalty", request.presence_penalty.map(Value::from)),
        ("seed", request.seed.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ])
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => "json".into(),
        ResponseFormat::Schema { schema, .. } => schema.clone(),
    }
}

/// Whether and how hard to think, for a model that is known to; Ollama refuses the field for others.
///
/// gpt-oss takes levels and cannot be turned off; the others take yes or no, and refuse levels.
fn think(model: &ModelInfo, effort: ReasoningEffort) -> Option<Value> {
    if model.ability(Ability::Reasoning) != Some(true) {
        return None;
    }
    if !model.name.contains("gpt-oss") {
        return Some((effort != ReasoningEffort::Off).into());
    }
    Some(Value::from(match effort {
        ReasoningEffort::Off | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    }))
}

/// The tools the model may call. Ollama has no way of saying that it must.
fn tools(request: &ChatRequest) -> Result<Option<Value>, ProviderError> {
    match &request.tool_choice {
        ToolChoice::None => Ok(None),
        ToolChoice::Auto if request.tools.is_empty() => Ok(None),
        ToolChoice::Auto => Ok(Some(request.tools.iter().map(tool).collect())),
        ToolChoice::Required | ToolChoice::Named(_) => {
            Err(refused(ErrorKind::Unsupported, "Ollama cannot make a model call a tool; use `Auto`"))
        }
    }
}

fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters, strict: _ } = tool;
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}

fn messages(request: &ChatRequest) -> Result<Vec<Value>, ProviderError> {
    let mut all = Vec::new();
    for message in &request.messages {
        let turn = Turn::of(message)?;
        let has_results = !turn.results.is_empty();
        all.extend(turn.results.iter().map(|result| result_message(result)));
        all.extend(turn.into_message(message.role, has_results));
    }
    Ok(all)
}

/// Each result of a tool is a message of its own.
fn result_message(result: &ToolResult) -> Value {
    let ToolResult { call_id, name, content, failed: _ } = result;
    json!({"role": "tool", "content": content, "tool_name": name, "tool_call_id": call_id})
}

/// A message's parts, sorted by where Ollama wants them.
#[derive(Default)]
struct Turn<'a> {
    text: String,
    thinking: String,
    images: Vec<Value>,
    calls: Vec<Value>,
    results: Vec<&'a ToolResult>,
}

impl<'a> Turn<'a> {
    fn of(message: &'a Message) -> Result<Self, ProviderError> {
        let mut turn = Self::default();
        for part in &message.parts {
            turn.add(part)?;
        }
        Ok(turn)
    }

    fn add(&mut self, part: &'a Part) -> Result<(), ProviderError> {
        match part {
            Part::Text(text) => self.text.push_str(text),
            Part::Thinking(thinking) => self.thinking.push_str(own(thinking)),
            Part::Image(media) => self.images.push(image(media)?),
            Part::Audio(_) => return Err(refused(ErrorKind::Unsupported, "Ollama takes no sounds")),
            Part::ToolCall(call) => self.calls.push(tool_call(call)?),
            Part::ToolResult(result) => self.results.push(result),
        }
        Ok(())
    }

    /// The message; `None` where all of it went into messages of its own.
    fn into_message(self, role: Role, apart: bool) -> Option<Value> {
        let rest: Map<String, Value> = present([
            ("thinking", (!self.thinking.is_empty()).then(|| self.thinking.into())),
            ("images", (!self.images.is_empty()).then(|| self.images.into())),
            ("tool_calls", (!self.calls.is_empty()).then(|| self.calls.into())),
        ])
        .collect();
        if apart && self.text.is_empty() && rest.is_empty() {
            return None;
        }
        let common = [("role", Some(role.as_str().into())), ("content", Some(self.text.into()))];
        Some(present(common).chain(rest).collect())
    }
}

/// Thoughts go back to where they came from only.
fn own(thinking: &Thinking) -> &str {
    match &thinking.echo {
        Some(echo) if echo.of(ECHO).is_some() => &thinking.text,
        _ => "",
    }
}

/// The bare Base64, without the `data:` before it that others want.
fn image(media: &Media) -> Result<Value, ProviderError> {
    match media {
        Media::Bytes { data, .. } => Ok(BASE64_STANDARD.encode(data).into()),
        Media::Url(_) => {
            Err(refused(ErrorKind::Unsupported, "Ollama fetches no pictures; pass the picture's bytes"))
        }
    }
}

/// With its arguments as an object, where the others have them as text.
fn tool_call(call: &ToolCall) -> Result<Value, ProviderError> {
    Ok(json!({"id": call.id, "function": {"name": call.name, "arguments": arguments(call)?}}))
}

fn refused(kind: ErrorKind, message: impl Into<String>) -> ProviderError {
    ProviderError::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Echo;

    fn chat_with(model: &ModelInfo, request: &ChatRequest) -> Result<Value, ProviderError> {
        Target { model, settings: &Settings::default(), loaded_context: None }.chat(request)
    }

    fn chat(request: &ChatRequest) -> Result<Value, ProviderError> {
        chat_with(&ModelInfo::chat("m"), request)
    }

    fn refusal(request: &ChatRequest) -> ErrorKind {
        chat(request).unwrap_err().kind().clone()
    }

    #[test]
    fn body_has_only_what_was_asked_for_and_cuts_nothing() {
        let body = chat(&ChatRequest::user("hi")).unwrap();

        let expected = json!({"model": "m", "stream": true, "truncate": false, "shift": false,
            "messages": [{"role": "user", "content": "hi"}], "options": {"num_ctx": 4096}});
        assert_eq!(body, expected);
    }

    #[test]
    fn sampling_options_format_and_settings_have_ollamas_names() {
        let request = ChatRequest::user("hi")
            .max_tokens(5)
            .temperature(0.5)
            .top_p(0.25)
            .top_k(7)
            .frequency_penalty(1.0)
            .presence_penalty(-1.0)
            .seed(3)
            .stop("\n")
            .response_format(ResponseFormat::Schema { name: "n".into(), schema: json!({"type": "object"}) });
        let options = OllamaOptions {
            context_tokens_min: Some(8192),
            gpu_layers: Some(99),
            threads: Some(6),
            batch_tokens: Some(256),
            main_gpu: Some(1),
            mmap: Some(false),
            ..OllamaOptions::default()
        };
        let settings = Settings { keep_alive: Some(Duration::from_millis(1500)), options };
        let model = ModelInfo::chat("m");

        let body =
            Target { model: &model, settings: &settings, loaded_context: None }.chat(&request).unwrap();

        let expected = json!({"num_predict": 5, "temperature": 0.5, "top_p": 0.25, "top_k": 7,
            "frequency_penalty": 1.0, "presence_penalty": -1.0, "seed": 3, "stop": ["\n"], "num_ctx": 8192,
            "num_gpu": 99, "num_thread": 6, "num_batch": 256, "main_gpu": 1, "use_mmap": false});
        assert_eq!(body["options"], expected);
        assert_eq!((&body["format"], &body["keep_alive"]), (&json!({"type": "object"}), &json!(2)));
    }

    #[test]
    fn keep_alive_is_in_seconds_and_negative_for_ever() {
        let times = [Duration::ZERO, Duration::from_secs(300), Duration::MAX];

        assert_eq!(times.map(keep_alive), [json!(0), json!(300), json!(-1)]);
    }

    #[test]
    fn conversation_with_pictures_thoughts_calls_and_results_keeps_its_order() {
        let call = ToolCall::new("call_1", "weather", r#"{"city":"Oslo"}"#);
        let bare = ToolCall::new("call_2", "clock", "");
        let thought = |text: &str, echo| Part::Thinking(Thinking { text: text.into(), echo });
        let assistant = Message::assistant("Let me see.")
            .part(thought("mine", Some(Echo::new(ECHO, true))))
            .part(thought("another's", Some(Echo::new("anthropic", "signature"))))
            .part(Part::ToolCall(call.clone()))
            .part(Part::ToolCall(bare.clone()));
        let results = [ToolResult::new(&call, "rain"), ToolResult::failed(&bare, "stopped")];
        let request = ChatRequest::user("Umbrella?")
            .message(Message::user("Look:").image(Media::bytes("image/png", vec![0x89, b'P', b'N', b'G'])))
            .message(assistant)
            .message(Message::tool(results).part(Part::Text("Now answer.".into())));

        let body = chat(&request).unwrap();

        let expected = json!([
            {"role": "user", "content": "Umbrella?"},
            {"role": "user", "content": "Look:", "images": ["iVBORw=="]},
            {"role": "assistant", "content": "Let me see.", "thinking": "mine", "tool_calls": [
                {"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
                {"id": "call_2", "function": {"name": "clock", "arguments": {}}}]},
            {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "call_1"},
            {"role": "tool", "content": "stopped", "tool_name": "clock", "tool_call_id": "call_2"},
            {"role": "tool", "content": "Now answer."}]);
        assert_eq!(body["messages"], expected);
    }

    #[test]
    fn what_ollama_cannot_take_is_refused_before_it_is_sent() {
        let hi = || ChatRequest::user("hi").tool(Tool::new("t", "", json!({"type": "object"})));
        let with = |part| ChatRequest::new(vec![Message::user("").part(part)]);
        let wrong_call = Part::ToolCall(ToolCall::new("1", "t", "[1]"));

        assert_eq!(refusal(&with(Part::Image(Media::url("https://x/y.png")))), ErrorKind::Unsupported);
        assert_eq!(refusal(&with(Part::Audio(Media::bytes("audio/wav", "RIFF")))), ErrorKind::Unsupported);
        assert_eq!(refusal(&with(wrong_call)), ErrorKind::BadRequest);
        assert_eq!(refusal(&hi().tool_choice(ToolChoice::Required)), ErrorKind::Unsupported);
        assert_eq!(refusal(&hi().tool_choice(ToolChoice::Named("t".into()))), ErrorKind::Unsupported);
        assert_eq!(refusal(&ChatRequest::new(vec![])), ErrorKind::BadRequest);
    }

    #[test]
    fn tools_are_offered_unless_none_may_be_called() {
        let schema = json!({"type": "object", "properties": {}});
        let request = ChatRequest::user("hi").tool(Tool::new("clock", "The time.", schema.clone()));

        let offered = chat(&request).unwrap();
        let silenced = chat(&request.tool_choice(ToolChoice::None)).unwrap();

        let function = json!({"name": "clock", "description": "The time.", "parameters": schema});
        assert_eq!(offered["tools"], json!([{"type": "function", "function": function}]));
        assert_eq!(silenced.get("tools"), None);
    }

    #[test]
    fn effort_is_told_only_to_models_that_think_in_the_form_they_take() {
        let efforts = [ReasoningEffort::Off, ReasoningEffort::Low, ReasoningEffort::High];
        let told = |model: ModelInfo| {
            efforts.map(|effort| {
                let body = chat_with(&model, &ChatRequest::user("hi").reasoning(effort)).unwrap();
                body.get("think").cloned()
            })
        };

        assert_eq!(told(ModelInfo::chat("llama3:8b")), [None, None, None]);
        assert_eq!(
            told(ModelInfo::chat("qwen3:8b").can(Ability::Reasoning)),
            [Some(json!(false)), Some(json!(true)), Some(json!(true))]
        );
        assert_eq!(
            told(ModelInfo::chat("gpt-oss:20b").can(Ability::Reasoning)),
            [Some(json!("low")), Some(json!("low")), Some(json!("high"))]
        );
    }

    #[test]
    fn vectors_are_asked_for_without_cutting_texts() {
        let model = ModelInfo::embedding("e").context_tokens(512);
        let target = Target { model: &model, settings: &Settings::default(), loaded_context: None };

        let body = target.embed(&EmbedRequest::new(["a"]).dimensions(256));

        let expected = json!({"model": "e", "input": ["a"], "truncate": false, "dimensions": 256,
            "options": {"num_ctx": 512}});
        assert_eq!(body, expected);
    }

    #[test]
    fn preload_asks_for_nothing_where_the_model_can_be_asked() {
        let settings = Settings { keep_alive: Some(Duration::MAX), ..Settings::default() };
        let preload = |model| Target { model: &model, settings: &settings, loaded_context: None }.preload();

        let (path, body) = preload(ModelInfo::chat("m"));
        assert_eq!((path, &body["messages"], &body["keep_alive"]), ("api/chat", &json!([]), &json!(-1)));
        assert_eq!(body["options"], json!({"num_ctx": 4096}));
        let (path, body) = preload(ModelInfo::embedding("e"));
        assert_eq!((path, &body["input"]), ("api/embed", &json!([])));
        assert_eq!(unload_body("m")["keep_alive"], json!(0));
    }
}
