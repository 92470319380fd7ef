//! The router's public behaviour: with scripted providers in paused time, and with servers on loopback.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod choice;
mod fallback;
mod http;
mod promises;
mod resume;
mod server;
