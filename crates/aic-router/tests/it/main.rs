//! The router's public behaviour: with scripted providers in paused time, and with servers on loopback.

mod choice;
mod fallback;
mod http;
mod promises;
mod server;
