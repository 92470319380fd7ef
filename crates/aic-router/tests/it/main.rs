//! The router's public behaviour: with scripted providers in paused time, and with servers on loopback.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod choice;
mod connections;
mod fallback;
mod http;
mod http2_server;
mod ollama;
mod openai;
#[cfg(all(feature = "redis", feature = "tower"))]
mod limits;
mod promises;
mod resume;
mod server;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(all(feature = "redis", feature = "tower"))]
mod tower;
