//! The quality gate on the demonstration model: what it lets through, and what it does not.
mod damage;
mod demo;
mod honest;
mod reference;
mod verdicts;
