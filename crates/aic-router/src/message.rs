use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Media, Part, ToolResult};

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An instruction to the model.
    System,
    /// The person asking.
    User,
    /// The model, earlier in the conversation.
    Assistant,
    /// The program, with the results of tools the model called.
    Tool,
}

impl Role {
    /// The role's name on the OpenAI and Ollama wires.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
///
/// ```
/// use aic_router::{Media, Message};
///
/// let message = Message::user("What is on this picture?").image(Media::url("https://example.com/cat.png"));
/// assert_eq!(message.text(), "What is on this picture?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A turn of these parts.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts }
    }

    /// An instruction to the model.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, vec![Part::Text(text.into())])
    }

    /// What the user says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, vec![Part::Text(text.into())])
    }

    /// What the model said earlier. An [`Answer`](crate::Answer) becomes one with all that belongs to it by
    /// [`into_message`](crate::Answer::into_message).
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, vec![Part::Text(text.into())])
    }

    /// The results of the tools the model called in the message before.
    pub fn tool(results: impl IntoIterator<Item = ToolResult>) -> Self {
        Self::new(Role::Tool, results.into_iter().map(Part::ToolResult).collect())
    }

    /// Adds a part at the end.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Adds a picture at the end.
    pub fn image(self, image: Media) -> Self {
        self.part(Part::Image(image))
    }

    /// Adds a sound at the end.
    pub fn audio(self, audio: Media) -> Self {
        self.part(Part::Audio(audio))
    }

    /// The message's text, its other parts left out.
    pub fn text(&self) -> Cow<'_, str> {
        text_of(&self.parts)
    }
}

/// The text among parts, borrowed where it is in one piece.
pub(crate) fn text_of(parts: &[Part]) -> Cow<'_, str> {
    let mut texts = parts.iter().filter_map(Part::as_text);
    let first = texts.next().unwrap_or_default();
    match texts.next() {
        None => Cow::Borrowed(first),
        Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
    }
}
