//! Bytes to events: framing, the protocols, faults, and the HTTP client that carries them.
//!
//! Everything but `remote` is free of I/O: it takes bytes and gives events.

pub(crate) mod anthropic;
mod arguments;
mod decoder;
pub(crate) mod fault;
mod frames;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod remote;
pub(crate) mod responses;
mod stray;

pub(crate) use arguments::arguments;
pub(crate) use decoder::{Decoder, Protocol, parse};
pub(crate) use frames::{Frames, Framing};
