//! Going on with an answer that broke off: the conversation with the beginning of the answer as its end.

use crate::{Ability, ChatRequest, ErrorKind, Message, ModelInfo, NextStep};

/// The request for the rest of an answer of which `told` is there.
///
/// Blanks at the end are left out, since Anthropic refuses them; see [`without_blanks`].
pub(super) fn request(request: &ChatRequest, told: &str) -> ChatRequest {
    let told = told.trim_end();
    if told.is_empty() {
        return request.clone();
    }
    let used = u32::try_from(told.len().div_ceil(4)).unwrap_or(u32::MAX);
    let max_tokens = request.max_tokens.map(|most| most.saturating_sub(used).max(1));
    ChatRequest { max_tokens, ..request.clone().message(Message::assistant(told)) }
}

/// Whether a model takes the beginning of its answer from the conversation; unknown is not enough, because a
/// model that does not would begin again, in the middle of the answer.
pub(super) fn is_able(model: &ModelInfo) -> bool {
    model.ability(Ability::Prefill) == Some(true)
}

/// Whether another call might do better after this failure.
pub(super) fn is_worthwhile(kind: &ErrorKind) -> bool {
    matches!(kind.next_step(), NextStep::Retry | NextStep::NextProvider)
}

/// The first piece of the rest, without the blanks that `told` ends with and that were not sent.
pub(super) fn without_blanks<'a>(told: &str, piece: &'a str) -> &'a str {
    let blanks = &told[told.trim_end().len()..];
    let common = blanks.chars().zip(piece.chars()).take_while(|(had, has)| had == has);
    &piece[common.map(|(_, c)| c.len_utf8()).sum()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_asked_for_behind_what_was_told() {
        let whole = ChatRequest::user("Count.").max_tokens(100);

        let rest = request(&whole, "one two \n");

        assert_eq!(rest.messages[1], Message::assistant("one two"));
        assert_eq!(rest.max_tokens, Some(98));
    }

    #[test]
    fn blanks_already_told_are_not_told_again() {
        assert_eq!(without_blanks("one ", " two"), "two");
        assert_eq!(without_blanks("one\n", "two"), "two");
        assert_eq!(without_blanks("one", " two"), " two");
        assert_eq!(without_blanks("one \n", " two"), "two");
    }
}
