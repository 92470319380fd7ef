//! What an upstream does with one call.

use std::time::Duration;

use bytes::Bytes;

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// The whole answer; only the rest of it where the request ends with its beginning.
    Answer,
    /// The whole answer, after so long a silence.
    Late(Duration),
    /// An error in place of an answer.
    Refuse(Refusal),
    /// An error where the request ends with the beginning of an answer, else the whole answer.
    RefusePrefill,
    /// The connection is reset before anything is said.
    Reset,
    /// Nothing, ever.
    Silence,
    /// So many tokens, and then a fault.
    Break(usize, Fault),
    /// A head with these status and headers, and then `first` once and `again` until the client leaves;
    /// the end of the body after `first` where `again` is empty.
    Raw { status: u16, headers: Vec<(&'static str, String)>, first: Bytes, again: Bytes },
}

/// How an answer breaks that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed in the middle of a chunk.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing more comes.
    Stall,
    /// A frame that is none, and then nothing.
    Garbage,
    /// A chunk whose size is no number.
    BadChunk,
    /// The dialect's error within a stream.
    Error,
    /// The body ends well, but without the frame that says that the answer is whole.
    NoEnd,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Too many requests, with how long to wait or without.
    Busy(Option<Duration>),
    /// Status 500.
    Broken,
    /// Status 503.
    Unavailable,
    /// The question does not fit into the model.
    TooLong,
    /// The content rules forbid an answer.
    Filtered,
    /// The model does not go on from the beginning of an answer.
    NoPrefill,
}
