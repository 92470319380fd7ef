//! Answering many requests with one model: a queue, pages of keys and values that requests share, and steps that run tokens of
//! several requests in one pass.
//!
//! [`Queue`](queue::Queue) and [`Scheduler`](scheduler::Scheduler) decide, and know neither threads nor clocks; a
//! [`Worker`] is the thread that runs them.
mod answer;
mod failure;
mod key;
mod options;
mod pages;
mod queue;
mod reply;
mod request;
mod scheduler;
mod sequence;
mod shares;
mod statistics;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
mod worker;

pub(crate) use answer::{Answer, Event};
pub use options::ServeOptions;
pub use statistics::ServeStatistics;
pub(crate) use worker::Worker;
