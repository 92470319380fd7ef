//! The quality gate on the demonstration model: what it lets through, and what it does not.
mod conversations;
mod damage;
mod demo;
mod reference;
mod verdicts;
