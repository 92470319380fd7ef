//! Answers of encoder-decoder models: what encoder and decoder are called with, and the search for the best answer.
mod beams;
mod config;
mod decoder;
mod rules;
mod search;

pub(super) use beams::{Hypothesis, Patience, Settings};
pub(super) use config::{Config, OneOrMany};
pub(super) use decoder::{Decoder, State};
pub(super) use rules::{Rules, Timestamps, log_softmax};
pub(super) use search::Search;
