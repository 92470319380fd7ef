//! The right model for each request: providers, choice, retry, fallback and breakers.
//!
//! | what | where |
//! |---|---|
//! | Providers | [`OpenAi`] (and every compatible server), [`Anthropic`], [`Gemini`], [`Ollama`], or your own [`Provider`]; [`Http`] connections shared between them |
//! | The chat | [`ChatRequest`] of [`Message`]s: text, pictures, sounds, thoughts, [`Tool`]s, a [`ResponseFormat`]; answered by [`Event`]s or a whole [`Answer`] |
//! | Choice | [`Priority`] and [`Constraints`] on quality, p95 and cost; [`Router::explain`] says why, [`Feedback`] sharpens it |
//! | Promises | one deadline, bounded retries, fallback that is invisible until the answer has begun, an error in place of a cut answer; breakers, and a [`Hedge`] |
//! | Limits | [`RateLimit`] and [`SpendLimit`] by provider and tenant; with the feature `redis` shared between processes |
//! | Accounts | [`Prices`], [`Stats`], and [`Accounts`] by provider, model, task and tenant, kept in a file |
//! | tower | with the feature `tower`, the router as a service, and its promises as layers |
//! | Tests | with the feature `testing`, a provider that plays a script, and the contract for your own |
//!
//! `docs/router.md` in the repository is the tour, with a program for each of these.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> aic_router::Result<()> {
//! use aic_router::{Anthropic, ChatRequest, OpenAi, Priority, Router};
//!
//! let router = Router::builder()
//!     .provider(OpenAi::builder("http://localhost:8000/v1").name("vllm").local().model("qwen3:8b").build()?)
//!     .provider(Anthropic::new("sk-ant-secret")?)
//!     .build()?;
//!
//! // Which model would take this, and why not the others? Nothing is sent.
//! let request = ChatRequest::user("Why is the sky blue?").priority(Priority::Cost);
//! let explanation = router.explain(&request);
//! assert_eq!(explanation.chosen().unwrap().model, "qwen3:8b");
//! println!("{explanation}");
//! # Ok(())
//! # }
//! ```
//!
//! The answer comes as a stream of events, or whole:
//!
//! ```no_run
//! # async fn run() -> aic_router::Result<()> {
//! use aic_router::{ApiKey, ChatRequest, Event, Gemini, Ollama, Router};
//!
//! let router = Router::builder()
//!     .provider(Ollama::connect("http://localhost:11434").await?)
//!     .provider(Gemini::new(ApiKey::from_env("GEMINI_API_KEY")?)?)
//!     .build()?;
//!
//! let mut answer = router.chat(ChatRequest::user("Tell me a story.")).await?;
//! while let Some(event) = answer.next().await {
//!     if let Event::Text(text) = event? {
//!         print!("{text}");
//!     }
//! }
//!
//! let answer = router.chat(ChatRequest::user("What is 17 * 23?")).await?.collect().await?;
//! println!("{answer} (from {}/{})", answer.provider, answer.model);
//! # Ok(())
//! # }
//! ```
//!
//! A model in this process is put behind the router by implementing [`Provider`] for it; this crate knows no
//! engine. The built-in [`Prices`] state their date and source; a price that is not known is never taken for 0.
mod ability;
mod accounts;
mod backoff;
mod breaker;
mod budget;
mod chat;
mod clock;
mod embed;
mod error;
mod event;
mod evidence;
mod explain;
mod failure;
mod feedback;
#[cfg(any(feature = "redis", feature = "tower"))]
mod gate;
mod goal;
mod hedge;
mod http;
mod key;
mod latency;
mod limit;
mod media;
mod message;
mod money;
mod part;
mod prefix;
mod price;
mod prices;
mod priority;
mod provider;
mod providers;
mod quality;
mod response_format;
mod router;
mod scope;
mod sketch;
mod stats;
mod stream;
mod success_rate;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tool;
#[cfg(feature = "tower")]
pub mod tower;
mod wire;

pub use self::http::{Http, HttpBuilder, Proxy};
pub use ability::Ability;
pub use accounts::{Accounts, Booking, Saved, Totals};
pub use breaker::BreakerState;
pub use budget::SpendLimit;
pub use chat::ChatRequest;
pub use clock::{Clock, SystemClock};
pub use embed::{EmbedRequest, Embeddings};
pub use error::{Attempt, Error, Result};
pub use event::{Event, FinishReason, Usage};
pub use explain::{Candidate, Explanation, Later, Refusal};
pub use failure::{ErrorKind, NextStep, ProviderError};
pub use feedback::Feedback;
pub use hedge::Hedge;
pub use key::ApiKey;
pub use latency::ExpectedLatency;
pub use limit::RateLimit;
#[cfg(feature = "redis")]
pub use limit::SharedLimits;
pub use media::Media;
pub use message::{Message, Role};
pub use money::NanoUsd;
pub use part::{Echo, Part, Thinking};
pub use price::{Price, Tier};
pub use prices::Prices;
pub use priority::{Constraints, Priority};
pub use provider::{EventStream, ModelInfo, Provider, ProviderInfo, ProviderKind, Purpose, Warmth};
pub use providers::{
    Anthropic, Gemini, LoadedModel, Ollama, OllamaBuilder, OllamaOptions, OpenAi, OpenAiApi, OpenAiBuilder,
    PullProgress,
};
pub use quality::{ModelClass, Quality};
pub use response_format::{ReasoningEffort, ResponseFormat};
pub use router::{Router, RouterBuilder};
pub use scope::Scope;
pub use stats::{Health, ModelHealth, ModelStats, Stats};
pub use stream::{Answer, ChatStream, Draft};
pub use task::Task;
pub use tool::{Tool, ToolCall, ToolCallDelta, ToolChoice, ToolResult};

/// The tour in docs/router.md: its programs are compiled, and run where they need no network.
#[cfg(all(doctest, feature = "redis", feature = "testing", feature = "tower"))]
#[doc = include_str!("../../../docs/router.md")]
mod tour {}
