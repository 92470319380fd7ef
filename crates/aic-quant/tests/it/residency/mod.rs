//! Which models are in memory: a card in trouble, a budget nobody may pass, and who reloads least.
mod budget;
mod card;
#[cfg(feature = "engine")]
mod models;
mod replay;
