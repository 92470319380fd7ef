//! The right model for each request: providers, choice, retry, fallback and breakers.
//!
//! A [`Router`] holds [`Provider`]s, chooses among their models by [`Priority`] and [`Task`], and keeps its
//! promises when they fail: one deadline, bounded retries, fallback that is invisible until the answer has
//! begun, and an error instead of a cut answer afterwards.
//!
//! ```no_run
//! # async fn run() -> aic_router::Result<()> {
//! use aic_router::{Anthropic, ApiKey, ChatRequest, Ollama, Priority, Router};
//!
//! let router = Router::builder()
//!     .provider(Ollama::connect("http://localhost:11434").await?)
//!     .provider(Anthropic::new(ApiKey::from_env("ANTHROPIC_API_KEY")?)?)
//!     .build()?;
//!
//! let request = ChatRequest::user("Why is the sky blue?").priority(Priority::Cost);
//! println!("{}", router.explain(&request)); // which model, and why not the others
//! let mut answer = router.chat(request).await?;
//! while let Some(event) = answer.next().await {
//!     println!("{:?}", event?);
//! }
//! # Ok(())
//! # }
//! ```
mod backoff;
mod breaker;
mod chat;
mod clock;
mod embed;
mod error;
mod event;
mod explain;
mod failure;
mod key;
mod latency;
mod limit;
mod message;
mod money;
mod price;
mod prices;
mod priority;
mod provider;
mod providers;
mod quality;
mod router;
mod stats;
mod stream;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod wire;

pub use breaker::BreakerState;
pub use chat::ChatRequest;
pub use clock::{Clock, SystemClock};
pub use embed::{EmbedRequest, Embeddings};
pub use error::{Attempt, Error, Result};
pub use event::{Event, FinishReason, Usage};
pub use explain::{Candidate, Explanation, Parts};
pub use failure::{ErrorKind, NextStep, ProviderError};
pub use key::ApiKey;
pub use message::{Message, Role};
pub use money::NanoUsd;
pub use price::Price;
pub use priority::Priority;
pub use provider::{EventStream, ModelInfo, Provider, ProviderInfo, ProviderKind, Purpose};
pub use providers::{Anthropic, Gemini, Ollama, OpenAi, OpenAiBuilder};
pub use quality::ModelClass;
pub use router::{Router, RouterBuilder};
pub use stats::{Health, ModelHealth, ModelStats, Stats};
pub use stream::{Answer, ChatStream, Draft};
pub use task::Task;
