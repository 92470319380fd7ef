//! What a user of the crate sees.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod delivery;
mod engine;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "webhook")]
mod webhook;
