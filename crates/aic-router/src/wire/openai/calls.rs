//! Tool calls, put together from their pieces.

use std::collections::VecDeque;

use serde::de::IgnoredAny;

use crate::{ChatRequest, ErrorKind, Event, FinishReason, Part, ProviderError, ToolCall, ToolCallDelta};

/// The most calls taken from one answer.
const CALLS_MAX: usize = 256;
/// The most bytes of arguments taken from one answer.
const ARGUMENTS_BYTES_MAX: usize = 4 << 20;

/// A piece of a call as it stands in a message; what is empty is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fragment<'a> {
    pub(crate) index: Option<u64>,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a str,
}

/// The calls of an answer while they are written.
///
/// OpenAI gives the index with every piece and id and name with the first; servers are known to leave out
/// the id, or the index, or to give every call the index 0.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Vec<Open>,
    earlier: usize,
    begun: usize,
    arguments_bytes: usize,
}

#[derive(Debug)]
struct Open {
    index: Option<u64>,
    call: ToolCall,
}

impl Calls {
    /// The calls of an answer to `request`. Ids that have to be made up go on from the calls in it.
    pub(crate) fn after(request: &ChatRequest) -> Self {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let earlier = parts.filter(|part| matches!(part, Part::ToolCall(_))).count();
        Self { earlier, ..Self::default() }
    }

    /// Adds a piece to its call, or begins one with it.
    pub(crate) fn add(
        &mut self,
        piece: Fragment<'_>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let known = self.position(piece);
        let at = known.unwrap_or_else(|| self.begin(piece));
        self.arguments_bytes = self.arguments_bytes.saturating_add(piece.arguments.len());
        if self.begun > CALLS_MAX || self.arguments_bytes > ARGUMENTS_BYTES_MAX {
            return Err(malformed(format!(
                "the answer has more than {CALLS_MAX} tool calls or {ARGUMENTS_BYTES_MAX} bytes of arguments"
            )));
        }
        let call = &mut self.open[at].call;
        if call.name.is_empty() {
            call.name.push_str(piece.name);
        }
        call.arguments.push_str(piece.arguments);
        if known.is_none() || !piece.arguments.is_empty() {
            events.push_back(Event::ToolCallDelta(delta(call, piece.arguments)));
        }
        Ok(())
    }

    /// How much of the call at `index` has come, `None` if nothing.
    pub(crate) fn arguments(&self, index: u64) -> Option<&str> {
        self.open.iter().find(|open| open.index == Some(index)).map(|open| open.call.arguments.as_str())
    }

    /// The call at `index` is whole.
    pub(crate) fn close(&mut self, index: u64, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Some(at) = self.open.iter().position(|open| open.index == Some(index)) {
            events.push_back(Event::ToolCall(whole(self.open.remove(at).call)?));
        }
        Ok(())
    }

    /// The answer is whole, and so are all calls in it. Says why it ended.
    ///
    /// A call in whose midst the answer reached its length, or was withheld, is left out. An answer with calls
    /// that just stops waits for their results: OpenAI says `stop` where the tool was named in the request.
    pub(crate) fn finish(
        &mut self,
        reason: FinishReason,
        events: &mut VecDeque<Event>,
    ) -> Result<FinishReason, ProviderError> {
        let cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        for Open { call, .. } in self.open.drain(..) {
            if !cut || checked(&call.arguments).is_ok() {
                events.push_back(Event::ToolCall(whole(call)?));
            }
        }
        let waits = self.begun > 0 && reason == FinishReason::Stop;
        Ok(if waits { FinishReason::ToolCalls } else { reason })
    }

    /// The call a piece belongs to; `None` if it begins one.
    fn position(&self, piece: Fragment<'_>) -> Option<usize> {
        let last = |belongs: &dyn Fn(&Open) -> bool| self.open.iter().rposition(belongs);
        let at = match piece {
            Fragment { index: Some(index), .. } => last(&|open| open.index == Some(index)),
            Fragment { id: "", name: "", .. } => self.open.len().checked_sub(1),
            Fragment { id: "", .. } => None,
            Fragment { id, .. } => last(&|open| open.call.id == id),
        };
        let begins = |call: &ToolCall| !piece.name.is_empty() && !piece.id.is_empty() && piece.id != call.id;
        at.filter(|at| !begins(&self.open[*at].call))
    }

    fn begin(&mut self, piece: Fragment<'_>) -> usize {
        self.begun += 1;
        let made_up = || format!("call_{}", self.earlier + self.begun);
        let id = if piece.id.is_empty() { made_up() } else { piece.id.to_owned() };
        self.open.push(Open { index: piece.index, call: ToolCall::new(id, "", "") });
        self.open.len() - 1
    }
}

fn delta(call: &ToolCall, arguments: &str) -> ToolCallDelta {
    ToolCallDelta { id: call.id.clone(), name: call.name.clone(), arguments: arguments.into() }
}

/// A call with all its pieces, checked. No arguments at all are an empty object.
fn whole(mut call: ToolCall) -> Result<ToolCall, ProviderError> {
    if call.name.is_empty() {
        return Err(malformed("a tool call has no name"));
    }
    if call.arguments.trim().is_empty() {
        call.arguments = "{}".into();
    }
    checked(&call.arguments)?;
    Ok(call)
}

fn checked(arguments: &str) -> Result<IgnoredAny, ProviderError> {
    let not_json = |error| malformed("the arguments of a tool call are not JSON").caused_by(error);
    serde_json::from_str(arguments).map_err(not_json)
}

fn malformed(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn piece<'a>(index: Option<u64>, id: &'a str, name: &'a str, arguments: &'a str) -> Fragment<'a> {
        Fragment { index, id, name, arguments }
    }

    /// The whole calls that pieces make, without what came before them.
    fn calls(mut calls: Calls, pieces: &[Fragment<'_>]) -> Result<Vec<ToolCall>, ErrorKind> {
        let mut events = VecDeque::new();
        let kind = |error: ProviderError| error.kind().clone();
        for piece in pieces {
            calls.add(*piece, &mut events).map_err(kind)?;
        }
        calls.finish(FinishReason::Stop, &mut events).map_err(kind)?;
        let whole = |event| if let Event::ToolCall(call) = event { Some(call) } else { None };
        Ok(events.into_iter().filter_map(whole).collect())
    }

    #[test]
    fn pieces_find_their_call_by_index_by_id_or_by_coming_next() {
        let expected = [ToolCall::new("a", "f", "{\"x\":1}"), ToolCall::new("b", "g", "[]")];
        let interleaved = [
            piece(Some(0), "a", "f", ""),
            piece(Some(1), "b", "g", "["),
            piece(Some(0), "", "", "{\"x\""),
            piece(Some(1), "", "", "]"),
            piece(Some(0), "", "", ":1}"),
        ];
        let every_index_zero = [
            piece(Some(0), "a", "f", "{\"x\""),
            piece(Some(0), "a", "f", ":1}"),
            piece(Some(0), "b", "g", ""),
            piece(Some(0), "", "", "[]"),
        ];
        let no_index = [
            piece(None, "a", "f", "{\"x\""),
            piece(None, "", "", ":1}"),
            piece(None, "b", "g", "["),
            piece(None, "b", "", "]"),
        ];
        for pieces in [&interleaved[..], &every_index_zero, &no_index] {
            assert_eq!(calls(Calls::default(), pieces).unwrap(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn missing_ids_go_on_from_the_conversation() {
        let earlier = Message::assistant("").part(Part::ToolCall(ToolCall::new("call_1", "f", "{}")));
        let pieces = [piece(None, "", "f", "{}"), piece(None, "", "g", "")];

        let calls = calls(Calls::after(&ChatRequest::new(vec![earlier])), &pieces).unwrap();

        assert_eq!(calls, [ToolCall::new("call_2", "f", "{}"), ToolCall::new("call_3", "g", "{}")]);
    }

    #[test]
    fn calls_that_are_none_are_malformed() {
        let broken = [piece(Some(0), "a", "f", "{\"x\":")];
        let nameless = [piece(Some(0), "a", "", "{}")];
        let too_many: Vec<_> = (0..=CALLS_MAX as u64).map(|n| piece(Some(n), "", "f", "{}")).collect();
        let long = "x".repeat(ARGUMENTS_BYTES_MAX / 4);
        let too_long = [piece(Some(0), "", "f", &long); 5];
        for pieces in [&broken[..], &nameless, &too_many, &too_long] {
            assert_eq!(calls(Calls::default(), pieces), Err(ErrorKind::Malformed));
        }
    }

    #[test]
    fn call_cut_by_the_answers_length_is_left_out() {
        let mut calls = Calls::default();
        let mut events = VecDeque::new();
        calls.add(piece(Some(0), "a", "f", "{}"), &mut events).unwrap();
        calls.add(piece(Some(1), "b", "f", "{"), &mut events).unwrap();
        calls.add(piece(Some(2), "c", "f", ""), &mut events).unwrap();
        events.clear();

        let reason = calls.finish(FinishReason::Length, &mut events).unwrap();

        assert_eq!((reason, events.len()), (FinishReason::Length, 1));
    }

    proptest::proptest! {
        #[test]
        fn arguments_cut_anywhere_come_out_whole(text in "[a-zé\"\\\\{}]{0,40}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let arguments = serde_json::to_string(&text).unwrap();
            let mut ends: Vec<usize> = cuts.into_iter().filter(|cut| arguments.is_char_boundary(*cut)).collect();
            ends.extend([0, arguments.len()]);
            ends.sort_unstable();
            let mut pieces = vec![piece(Some(0), "a", "f", "")];
            pieces.extend(ends.windows(2).map(|pair| piece(Some(0), "", "", &arguments[pair[0]..pair[1]])));

            let whole = calls(Calls::default(), &pieces).unwrap();

            proptest::prop_assert_eq!(whole, [ToolCall::new("a", "f", arguments)]);
        }
    }
}
