//! Searches of known functions, and changes to a pretended server.
mod safe_apply;
mod search;
