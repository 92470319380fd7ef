//! The router's public behaviour: with scripted providers in paused time, and with servers on loopback.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod catalogue;
mod choice;
mod connections;
mod fallback;
mod hedge;
mod hostile;
mod http;
mod http2_server;
#[cfg(all(feature = "redis", feature = "tower"))]
mod limits;
mod ollama;
mod openai;
mod promises;
mod resume;
mod secrets;
mod server;
mod spend;
mod storm;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(all(feature = "redis", feature = "tower"))]
mod tower;
mod upstream;
