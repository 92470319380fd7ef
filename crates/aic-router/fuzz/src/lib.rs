//! What holds for every decoder, whatever the bytes.
//!
//!     cargo fuzz run openai corpus/openai seeds/openai -- -max_total_time=60

use aic_router::testing::{Wire, decode};
use aic_router::{ChatRequest, Event};

/// Decodes `data`, whose first byte says how long the pieces are into which the rest is cut, and checks that
/// - nothing panics,
/// - the pieces make no difference to the events or to the kind of the error,
/// - an answer has an end if and only if it has no error, and nothing behind it,
/// - what is the router's to say is not in it.
pub fn check(wire: Wire, data: &[u8]) {
    let Some((length, body)) = data.split_first() else { return };
    let request = ChatRequest::user("hi");
    let (events, ended) = decode(wire, &request, [body]);
    let (in_pieces, ended_in_pieces) = decode(wire, &request, body.chunks(usize::from(*length).max(1)));

    assert_eq!(events, in_pieces);
    assert_eq!(ended.as_ref().err().map(|e| e.kind()), ended_in_pieces.as_ref().err().map(|e| e.kind()));
    let ends = events.iter().filter(|event| matches!(event, Event::End(_))).count();
    assert_eq!(ends, usize::from(ended.is_ok()));
    assert!(ends == 0 || matches!(events.last(), Some(Event::End(_))));
    assert!(!events.iter().any(|event| matches!(event, Event::Start { .. } | Event::Cost(_))));
}
