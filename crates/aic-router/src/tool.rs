use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Echo;

/// Something the model may ask the program to do.
///
/// ```
/// use aic_router::{ChatRequest, Tool};
/// use serde_json::json;
///
/// let weather = Tool::new("weather", "The weather in a city now.", json!({
///     "type": "object",
///     "properties": { "city": { "type": "string" } },
///     "required": ["city"],
/// }));
/// let request = ChatRequest::user("Do I need an umbrella in Oslo?").tool(weather);
/// # assert_eq!(request.tools.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, 64 at most.
    pub name: String,
    /// What it does and when to call it, for the model.
    pub description: String,
    /// Its arguments, as a JSON Schema of type `object`.
    pub parameters: Value,
    /// Whether the provider must keep strictly to the schema, where it can.
    #[serde(default)]
    pub strict: bool,
}

impl Tool {
    /// A tool whose arguments follow `parameters`, a JSON Schema of type `object`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self { name: name.into(), description: description.into(), parameters, strict: false }
    }

    /// Makes the provider keep strictly to the schema, where it can. Not strict by default.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// It may.
    #[default]
    Auto,
    /// It may not.
    None,
    /// It must call at least one.
    Required,
    /// It must call the one of this name.
    Named(String),
}

/// A tool the model wants called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call's name within the conversation. Made up where the provider gives none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: a JSON object as text, checked to be JSON, but not against the tool's schema.
    pub arguments: String,
    /// What the provider wants to see again with this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<Echo>,
}

impl ToolCall {
    /// A call as a provider reports it.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), arguments: arguments.into(), echo: None }
    }

    /// The arguments as a type of the program.
    ///
    /// # Errors
    /// If the model's arguments are not those of `T`; tell it so by [`ToolResult::failed`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.arguments)
    }
}

/// A piece of a call while it is written, for showing progress; the whole [`ToolCall`] always follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// The call's name within the conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The next piece of the arguments' text.
    pub arguments: String,
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The [`id`](ToolCall::id) of the call it answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// What it gave back, or what went wrong, for the model.
    pub content: String,
    /// Whether it failed.
    #[serde(default)]
    pub failed: bool,
}

impl ToolResult {
    /// The result of `call`.
    pub fn new(call: &ToolCall, content: impl Into<String>) -> Self {
        Self { call_id: call.id.clone(), name: call.name.clone(), content: content.into(), failed: false }
    }

    /// Says why `call` failed, so that the model can try otherwise.
    pub fn failed(call: &ToolCall, why: impl Into<String>) -> Self {
        Self { failed: true, ..Self::new(call, why) }
    }
}
