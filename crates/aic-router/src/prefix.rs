//! Which part of a question a model has read a short while ago, and so may still have in its prompt cache.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};

use crate::{ChatRequest, Media, Part};

/// The least prefix a cloud keeps: 1024 tokens at OpenAI, Gemini and most of Anthropic's models.
pub(crate) const LEAST_TOKENS: u64 = 1024;
/// How long a prefix stays in a provider's cache at least: five minutes at Anthropic, five to ten at OpenAI.
const TTL: Duration = Duration::from_secs(300);
/// Bytes of a block; a prefix ends at the end of one.
const BLOCK: usize = 1024;
/// Tokens of a block, at the four bytes per token all estimates here go by.
const BLOCK_TOKENS: u64 = BLOCK as u64 / 4;
/// Blocks looked at in one question, about 128,000 tokens.
const BLOCKS: usize = 512;
/// Blocks remembered by one model.
const REMEMBERED: usize = 4096;
/// Bytes of a picture or sound that are looked at, at either end of it.
const GLANCE: usize = 512;

/// A question's blocks as hashes, each of all that comes up to its end.
///
/// After the approximate prefix cache of llm-d's scheduler. Not kept apart by tenant: the provider's cache is
/// one for all who share its key, and shared beginnings are what saves most. Only hashes are kept, and only
/// who knows a whole block word by word could learn that it was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prefix(Vec<u64>);

impl Prefix {
    /// The blocks of `request`, which has about so many tokens; none where it is too short to matter.
    pub(crate) fn of(request: &ChatRequest, tokens: u64) -> Self {
        let mut chain = Chain::default();
        if tokens < LEAST_TOKENS {
            return Self::default();
        }
        for tool in &request.tools {
            let schema = tool.parameters.to_string();
            [&tool.name, &tool.description, &schema].iter().for_each(|text| chain.feed(text.as_bytes()));
        }
        for message in &request.messages {
            chain.feed(message.role.as_str().as_bytes());
            message.parts.iter().for_each(|part| chain.part(part));
        }
        Self(chain.ends)
    }
}

#[derive(Default)]
struct Chain {
    hasher: DefaultHasher,
    filled: usize,
    ends: Vec<u64>,
}

impl Chain {
    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => self.feed(text.as_bytes()),
            Part::Thinking(thinking) => self.feed(thinking.text.as_bytes()),
            Part::ToolCall(call) => {
                self.feed(call.name.as_bytes());
                self.feed(call.arguments.as_bytes());
            }
            Part::ToolResult(result) => self.feed(result.content.as_bytes()),
            Part::Image(media) | Part::Audio(media) => self.media(media),
        }
    }

    /// Megabytes would take longer to hash than the choice may; the ends tell two pictures apart.
    fn media(&mut self, media: &Media) {
        match media {
            Media::Url(url) => self.feed(url.as_bytes()),
            Media::Bytes { data, .. } => {
                self.feed(&data.len().to_le_bytes());
                self.feed(&data[..data.len().min(GLANCE)]);
                self.feed(&data[data.len().saturating_sub(GLANCE)..]);
            }
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.ends.len() < BLOCKS {
            let (head, tail) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.hasher.write(head);
            self.filled += head.len();
            if self.filled == BLOCK {
                self.ends.push(self.hasher.finish());
                self.filled = 0;
            }
            bytes = tail;
        }
    }
}

/// The blocks a model has read lately.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<u64, Instant>);

impl Seen {
    /// How many tokens of the beginning were read within the last five minutes.
    pub(crate) fn tokens(&self, prefix: &Prefix, now: Instant) -> u64 {
        let fresh = |end: &&u64| self.0.get(*end).is_some_and(|at| is_fresh(*at, now));
        prefix.0.iter().take_while(fresh).count() as u64 * BLOCK_TOKENS
    }

    /// Takes in that all of a question was read.
    pub(crate) fn remember(&mut self, prefix: &Prefix, now: Instant) {
        if self.0.len() + prefix.0.len() > REMEMBERED {
            self.forget(now);
        }
        self.0.extend(prefix.0.iter().map(|end| (*end, now)));
    }

    /// Drops what is out of date, and the older half of what is left where that is still too much.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, at| is_fresh(*at, now));
        if self.0.len() > REMEMBERED / 2 {
            let mut times: Vec<Instant> = self.0.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(self.0.len() / 2);
            self.0.retain(|_, at| *at > *median);
        }
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < TTL
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Message;

    fn prefix(request: &ChatRequest) -> Prefix {
        Prefix::of(request, request.estimated_tokens())
    }

    fn long(text: &str) -> String {
        text.repeat(6_000 / text.len())
    }

    #[test]
    fn next_turn_of_a_conversation_begins_with_the_one_before() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let first = ChatRequest::user("And now?").system(long("rule "));
        seen.remember(&prefix(&first), now);

        let next = first.message(Message::assistant("This.")).message(Message::user(long("Why? ")));

        assert_eq!(seen.tokens(&prefix(&next), now + Duration::from_secs(299)), 5 * BLOCK_TOKENS);
        assert_eq!(seen.tokens(&prefix(&next), now + TTL), 0);
        assert_eq!(seen.tokens(&prefix(&ChatRequest::user(long("Why? "))), now), 0);
    }

    #[test]
    fn short_questions_have_no_blocks() {
        assert!(prefix(&ChatRequest::user("a".repeat(4_000))).0.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let at = |n: u64| start + Duration::from_millis(n);
        let of = |n: u64| prefix(&ChatRequest::user(format!("{n} ").repeat(5_000)));

        (0..1_000).for_each(|n| seen.remember(&of(n), at(n)));

        assert!(seen.0.len() <= REMEMBERED, "{}", seen.0.len());
        assert!(seen.tokens(&of(999), at(1_000)) > 0 && seen.tokens(&of(0), at(1_000)) == 0);
    }

    proptest! {
        #[test]
        fn common_beginning_is_found_to_the_block(common in 1_024usize..20_000, more in 0usize..5_000) {
            let (mut seen, now) = (Seen::default(), Instant::now());
            let text = |end: char| "x".repeat(common) + &String::from(end).repeat(5_000 + more);
            let (one, other) = (ChatRequest::user(text('y')), ChatRequest::user(text('z')));

            seen.remember(&prefix(&one), now);

            // The role's four letters come first.
            let blocks = (common + 4) / BLOCK;
            prop_assert_eq!(seen.tokens(&prefix(&other), now), blocks as u64 * BLOCK_TOKENS);
        }
    }
}
