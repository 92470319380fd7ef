//! Searches of known functions, and changes to a pretended server.
#![allow(clippy::unwrap_used, reason = "in the helpers of tests a panic is the report")]

mod safe_apply;
mod search;
