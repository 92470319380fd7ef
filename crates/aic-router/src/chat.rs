use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::text_of;
use crate::{
    Ability, Constraints, Message, Part, Priority, ReasoningEffort, ResponseFormat, Role, Task, Tool,
    ToolChoice,
};

/// The answer's length in tokens where the request does not bound it, for estimates.
const EXPECTED_OUTPUT: u64 = 256;

/// A chat to be answered, in the words every provider understands.
///
/// Only `messages` is required. What is `None` is left to the provider's own default and is not sent.
///
/// ```
/// use aic_router::{ChatRequest, Priority};
///
/// let request = ChatRequest::user("Why is the sky blue?")
///     .system("Answer in one sentence.")
///     .priority(Priority::Cost)
///     .max_tokens(60);
/// assert_eq!(request.messages.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatRequest {
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must call one.
    pub tool_choice: ToolChoice,
    /// The form the answer must have. `None` for words.
    pub response_format: Option<ResponseFormat>,
    /// How hard the model should think. `None` leaves it to the provider.
    pub reasoning: Option<ReasoningEffort>,
    /// The model asked for: `model` or `provider/model`. `None` lets the router choose.
    pub model: Option<String>,
    /// What kind of work this is. `None` lets the router guess it from the text.
    pub task: Option<Task>,
    /// What matters most when choosing a model.
    pub priority: Priority,
    /// What the choice must keep to, whatever the priority.
    pub constraints: Constraints,
    /// The most tokens the answer may have.
    pub max_tokens: Option<u32>,
    /// Sampling temperature, 0 (always the likeliest token) to 2.
    pub temperature: Option<f32>,
    /// Nucleus sampling: the probability mass kept, above 0 up to 1.
    pub top_p: Option<f32>,
    /// How many of the likeliest tokens are sampled from. OpenAI ignores it.
    pub top_k: Option<u32>,
    /// How much tokens are held against the model by how often it wrote them, -2 to 2. Anthropic ignores it.
    pub frequency_penalty: Option<f32>,
    /// How much tokens are held against the model that it wrote at all, -2 to 2. Anthropic ignores it.
    pub presence_penalty: Option<f32>,
    /// The seed of the sampler. Providers without one (Anthropic) ignore it.
    pub seed: Option<u64>,
    /// Texts at which the answer ends; they are not part of it.
    pub stop: Vec<String>,
    /// Whether the provider should keep the conversation's beginning in its prompt cache, where it wants to be
    /// told (Anthropic). `None` lets the router decide by whether that pays.
    pub prompt_cache: Option<bool>,
    /// The longest the whole request may take, retries and streaming included.
    pub deadline: Option<Duration>,
    /// Whom the request is made for. Never sent to a provider; caches and accounts keep tenants apart by it.
    pub tenant: Option<String>,
}

impl ChatRequest {
    /// Starts a conversation with what the user says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(vec![Message::user(text)])
    }

    /// Continues the conversation `messages`, oldest first.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// Puts an instruction before the conversation. None by default.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.messages.insert(0, Message::system(text));
        self
    }

    /// Adds a message at the end.
    pub fn message(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// Adds something the model may call. None by default.
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Says whether the model must call a tool. By default it may.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = choice;
        self
    }

    /// Says which form the answer must have. Words by default.
    pub fn response_format(mut self, format: ResponseFormat) -> Self {
        self.response_format = Some(format);
        self
    }

    /// Says how hard the model should think. The provider's own choice by default.
    pub fn reasoning(mut self, effort: ReasoningEffort) -> Self {
        self.reasoning = Some(effort);
        self
    }

    /// Asks for one model, by `model` or `provider/model`. By default the router chooses.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Says what kind of work this is. By default it is guessed from the text.
    pub fn task(mut self, task: Task) -> Self {
        self.task = Some(task);
        self
    }

    /// Says what matters most. Defaults to [`Priority::Quality`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Says what the choice must keep to, whatever the priority. Nothing by default.
    pub fn constraints(mut self, constraints: Constraints) -> Self {
        self.constraints = constraints;
        self
    }

    /// Bounds the answer's length in tokens. Unbounded by default, up to the provider's own limit.
    pub fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Sets the sampling temperature, 0 to 2. The provider's own by default.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets the nucleus sampling mass, above 0 up to 1. The provider's own by default.
    pub fn top_p(mut self, top_p: f32) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Samples from so many of the likeliest tokens. The provider's own by default.
    pub fn top_k(mut self, top_k: u32) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// Holds tokens against the model by how often it wrote them, -2 to 2. Not by default.
    pub fn frequency_penalty(mut self, penalty: f32) -> Self {
        self.frequency_penalty = Some(penalty);
        self
    }

    /// Holds tokens against the model that it wrote at all, -2 to 2. Not by default.
    pub fn presence_penalty(mut self, penalty: f32) -> Self {
        self.presence_penalty = Some(penalty);
        self
    }

    /// Sets the sampler's seed. None by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds a text at which the answer ends. None by default.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stop.push(text.into());
        self
    }

    /// Says whether the provider should keep the conversation's beginning in its prompt cache. By default the
    /// router decides.
    pub fn prompt_cache(mut self, keep: bool) -> Self {
        self.prompt_cache = Some(keep);
        self
    }

    /// Bounds the whole request, retries and streaming included. Defaults to the router's own deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Names whom the request is made for. None by default.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// About how many tokens the conversation and the tools have: a quarter of their UTF-8 bytes, four per
    /// message, a thousand per picture.
    ///
    /// An estimate for choosing and pricing beforehand, good to a factor of about two: English averages four
    /// bytes per token, Cyrillic two letters, Chinese a little over one character.
    pub fn estimated_tokens(&self) -> u64 {
        let messages = self.messages.iter().map(|message| 4 + parts_tokens(&message.parts));
        messages.sum::<u64>() + self.tools.iter().map(tool_tokens).sum::<u64>()
    }

    /// How long the answer is likely to be: as long as it may, or 256 tokens where that is not bounded.
    pub(crate) fn expected_output(&self) -> u64 {
        self.max_tokens.map_or(EXPECTED_OUTPUT, u64::from)
    }

    /// What a model must be able to do to take this request.
    pub fn needs(&self) -> impl Iterator<Item = Ability> {
        let has = |wanted: fn(&Part) -> bool| self.messages.iter().flat_map(|m| &m.parts).any(wanted);
        let needs = [
            (Ability::Images, has(|part| matches!(part, Part::Image(_)))),
            (Ability::Audio, has(|part| matches!(part, Part::Audio(_)))),
            (Ability::Tools, !self.tools.is_empty()),
            (Ability::Structured, self.response_format.is_some()),
        ];
        needs.into_iter().filter_map(|(ability, needed)| needed.then_some(ability))
    }

    pub(crate) fn system_text(&self) -> Option<String> {
        let texts: Vec<_> = self.with_role(Role::System).map(Message::text).collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    pub(crate) fn last_user_text(&self) -> std::borrow::Cow<'_, str> {
        self.with_role(Role::User).last().map(|message| text_of(&message.parts)).unwrap_or_default()
    }

    fn with_role(&self, role: Role) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.role == role)
    }
}

fn parts_tokens(parts: &[Part]) -> u64 {
    parts.iter().map(Part::estimated_tokens).sum()
}

/// The schema's text is about as long as what a provider makes of it.
fn tool_tokens(tool: &Tool) -> u64 {
    let schema = tool.parameters.to_string();
    ((tool.name.len() + tool.description.len() + schema.len()) as u64).div_ceil(4) + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_survives_a_json_round_trip() {
        let request =
            ChatRequest::user("hi").system("be brief").temperature(0.5).deadline(Duration::from_secs(3));

        let json = serde_json::to_string(&request).unwrap();

        assert_eq!(serde_json::from_str::<ChatRequest>(&json).unwrap(), request);
    }

    #[test]
    fn system_texts_are_joined_in_order() {
        let request = ChatRequest::user("hi").message(Message::system("b")).system("a");

        assert_eq!(request.system_text().as_deref(), Some("a\n\nb"));
    }

    #[test]
    fn needs_follow_from_parts_tools_and_format() {
        let picture = Message::user("what is this?").image(crate::Media::url("https://x/y.png"));
        let request = ChatRequest::new(vec![picture]).response_format(ResponseFormat::Json);

        assert_eq!(request.needs().collect::<Vec<_>>(), [Ability::Images, Ability::Structured]);
        assert_eq!(ChatRequest::user("hi").needs().count(), 0);
    }
}
