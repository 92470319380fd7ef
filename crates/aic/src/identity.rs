//! What an answer depends on, and so the key it is kept under.
use aic_cache::{Fingerprint, Outline, Tenant};
use aic_router::{
    ChatRequest, Constraints, Media, Message, Part, Priority, ReasoningEffort, ResponseFormat, Role, Task,
    Tool, ToolChoice,
};
use serde::{Serialize, Serializer};

/// The kind of key, and its version: to be changed with what is below.
const DOMAIN: &str = "aic chat 2";

/// The kind of fingerprint of a request without its last question.
const SCOPE: &str = "aic chat scope 2";

/// Everything in a request that an answer depends on, and who could answer it.
///
/// Made by taking the request apart whole, so that a field that is added to it does not compile until it is decided
/// here whether it belongs into the key.
#[derive(Serialize)]
pub(crate) struct Identity<'a> {
    messages: Vec<Turn<'a>>,
    tools: &'a [Tool],
    tool_choice: &'a ToolChoice,
    response_format: &'a Option<ResponseFormat>,
    reasoning: &'a Option<ReasoningEffort>,
    model: &'a Option<String>,
    task: &'a Option<Task>,
    priority: &'a Priority,
    constraints: &'a Constraints,
    max_tokens: &'a Option<u32>,
    temperature: &'a Option<f32>,
    top_p: &'a Option<f32>,
    top_k: &'a Option<u32>,
    frequency_penalty: &'a Option<f32>,
    presence_penalty: &'a Option<f32>,
    seed: &'a Option<u64>,
    stop: &'a [String],
    models: Vec<String>,
}

impl<'a> Identity<'a> {
    /// The identity of `request`, which one of `models` would answer.
    pub(crate) fn of(request: &'a ChatRequest, models: Vec<String>) -> Self {
        let ChatRequest {
            messages,
            tools,
            tool_choice,
            response_format,
            reasoning,
            model,
            task,
            priority,
            constraints,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            // What the provider keeps for itself, how long there is, and who asks: the answer is the same.
            prompt_cache: _,
            deadline: _,
            tenant: _,
        } = request;
        let messages = messages.iter().map(Turn::of).collect();
        Self {
            messages,
            tools,
            tool_choice,
            response_format,
            reasoning,
            model,
            task,
            priority,
            constraints,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            models,
        }
    }

    /// The key the answer is kept under for `tenant`.
    pub(crate) fn key(&self, tenant: &Tenant) -> aic_cache::Result<Fingerprint> {
        Fingerprint::of(DOMAIN, tenant, self)
    }

    /// By what a miss can be explained: which parts of it differ from another's.
    pub(crate) fn outline(&self, tenant: &Tenant) -> aic_cache::Result<Outline> {
        Outline::of(DOMAIN, tenant, self)
    }

    /// What the user asks last, and the fingerprint of all the rest. `None` if the last turn is not the user's words
    /// alone.
    pub(crate) fn question(mut self, tenant: &Tenant) -> Option<(Fingerprint, &'a str)> {
        let last = self.messages.pop().filter(|turn| *turn.role == Role::User)?;
        let [Piece(Part::Text(text))] = &last.parts[..] else { return None };
        let scope = Fingerprint::of(SCOPE, tenant, &self).ok()?;
        Some((scope, text))
    }
}

/// Whose answers are kept together.
pub(crate) fn tenant(request: &ChatRequest) -> Tenant {
    request.tenant.as_deref().map_or_else(Tenant::default, Tenant::new)
}

/// Whether everything the answer depends on is in the request: what lies behind an address may change.
pub(crate) fn is_complete(request: &ChatRequest) -> bool {
    let by_address = |part: &Part| matches!(part, Part::Image(Media::Url(_)) | Part::Audio(Media::Url(_)));
    !request.messages.iter().flat_map(|message| &message.parts).any(by_address)
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'a Role,
    parts: Vec<Piece<'a>>,
}

impl<'a> Turn<'a> {
    fn of(message: &'a Message) -> Self {
        let Message { role, parts } = message;
        Self { role, parts: parts.iter().map(Piece).collect() }
    }
}

/// A part of a turn; pictures and sounds by their content.
struct Piece<'a>(&'a Part);

impl Serialize for Piece<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Part::Image(Media::Bytes { mime, data }) => ("image", mime, Content(data)).serialize(serializer),
            Part::Audio(Media::Bytes { mime, data }) => ("audio", mime, Content(data)).serialize(serializer),
            other => other.serialize(serializer),
        }
    }
}

/// Bytes as they are, where a request would write them in Base64.
struct Content<'a>(&'a [u8]);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(request: &ChatRequest) -> Fingerprint {
        Identity::of(request, vec!["local m".to_owned()]).key(&tenant(request)).unwrap()
    }

    #[test]
    fn deadline_and_prompt_cache_do_not_change_the_key_and_all_that_is_asked_does() {
        let base = || ChatRequest::user("hi").temperature(0.0);
        let picture = |bytes: &[u8]| {
            base().message(Message::user("see").image(Media::bytes("image/png", bytes.to_vec())))
        };

        assert_eq!(key(&base()), key(&base().deadline(std::time::Duration::from_secs(1))));
        let others = [
            base(),
            base().system("be brief"),
            base().max_tokens(5),
            base().temperature(0.5),
            base().model("m"),
            base().tenant("acme"),
            picture(b"1"),
            picture(b"2"),
        ];
        let keys: std::collections::HashSet<_> = others.iter().map(key).collect();
        assert_eq!(keys.len(), others.len());
    }

    #[test]
    fn picture_behind_an_address_is_not_all_there() {
        let at = |media| ChatRequest::new(vec![Message::user("see").image(media)]);

        assert!(is_complete(&at(Media::bytes("image/png", vec![1]))));
        assert!(!is_complete(&at(Media::url("https://example.com/cat.png"))));
    }
}
