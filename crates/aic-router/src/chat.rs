use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Message, Priority, Task};

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
    /// The model asked for: `model` or `provider/model`. `None` lets the router choose.
    pub model: Option<String>,
    /// What kind of work this is. `None` lets the router guess it from the text.
    pub task: Option<Task>,
    /// What matters most when choosing a model.
    pub priority: Priority,
    /// The most tokens the answer may have.
    pub max_tokens: Option<u32>,
    /// Sampling temperature, 0 (always the likeliest token) to 2.
    pub temperature: Option<f32>,
    /// Nucleus sampling: the probability mass kept, above 0 up to 1.
    pub top_p: Option<f32>,
    /// The seed of the sampler. Providers without one (Anthropic) ignore it.
    pub seed: Option<u64>,
    /// Texts at which the answer ends; they are not part of it.
    pub stop: Vec<String>,
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

    /// About how many tokens the conversation has: a quarter of its UTF-8 bytes, and four per message.
    ///
    /// An estimate for choosing and pricing beforehand, good to a factor of about two: English averages four
    /// bytes per token, Cyrillic two letters, Chinese a little over one character.
    pub fn estimated_tokens(&self) -> u64 {
        self.messages.iter().map(|message| 4 + (message.content.len() as u64).div_ceil(4)).sum()
    }

    pub(crate) fn system_text(&self) -> Option<String> {
        let parts: Vec<&str> = self.with_role(crate::Role::System).map(|m| m.content.as_str()).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    pub(crate) fn last_user_text(&self) -> &str {
        self.with_role(crate::Role::User).last().map_or("", |message| &message.content)
    }

    fn with_role(&self, role: crate::Role) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.role == role)
    }
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
}
