//! Answering many requests with one model: a queue, pages of keys and values that requests share, and steps that run tokens of
//! several requests in one pass.
//!
//! [`Queue`](queue::Queue) and [`Scheduler`](scheduler::Scheduler) decide, and know neither threads nor clocks.
mod failure;
mod key;
mod options;
mod pages;
mod queue;
mod request;
mod scheduler;
mod sequence;
mod shares;
mod statistics;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

pub use options::ServeOptions;
pub use statistics::ServeStatistics;
