//! The router as a [`tower_service::Service`], and its promises as layers for any other.
//!
//! A service here takes a [`ChatRequest`] and answers with a [`ChatStream`] once the first content is there:
//! what fails before is the service's error, what fails after is in the stream. [`Router`] is one, with all
//! promises kept inside; [`ProviderService`] is one model of one provider, with none of them. The layers go
//! over either, or over a service of one's own whose error is an [`Error`] or becomes one.
//!
//! | layer | promise |
//! |---|---|
//! | [`DeadlineLayer`] | the whole answer comes in time, or an error does |
//! | [`RetryLayer`] | what fails before the first content is tried again, after a pause |
//! | [`LimitLayer`] | no more requests and tokens go out than stated |
//! | [`BreakerLayer`] | a provider that keeps failing is left alone for a while |
//!
//! The order matters. This one bounds everything by the deadline, counts every try, and lets the breaker see
//! them all. A call that the breaker must see as failed when it hangs wants a second deadline inside.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use aic_router::tower::{BreakerLayer, DeadlineLayer, LimitLayer, ProviderService, RetryLayer};
//! use aic_router::{ChatRequest, RateLimit, Scope, testing::FakeProvider};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! let provider = FakeProvider::new("here").model("small").reply("It scatters blue light most.");
//! let each = RateLimit::new().requests_per_minute(60);
//! let model = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new(Duration::from_secs(120)))
//!     .layer(RetryLayer::new())
//!     .layer(LimitLayer::builder().limit(Scope::EachTenant, each).build()?)
//!     .layer(BreakerLayer::new())
//!     .layer(DeadlineLayer::new(Duration::from_secs(30)))
//!     .service(ProviderService::new(provider, "small"));
//!
//! let answer = model.oneshot(ChatRequest::user("Why is the sky blue?").tenant("ada")).await?.collect().await?;
//! assert_eq!(answer.text(), "It scatters blue light most.");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "testing"))]
//! # fn main() {}
//! ```
//!
//! tower's own layers go over these services too, with two things to know. A timeout or a concurrency limit
//! of tower's ends with the first content, for that is when the service has answered. And tower's hedge takes
//! the first call that ends, even if it failed; it is of no use here.
mod breaker;
mod deadline;
mod head;
mod limit;
mod provider;
mod retry;

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_service::Service;

pub use self::breaker::{BreakerLayer, BreakerService};
pub use self::deadline::{DeadlineLayer, DeadlineService};
pub use self::limit::{LimitLayer, LimitLayerBuilder, LimitService};
pub use self::provider::ProviderService;
pub use self::retry::{RetryLayer, RetryService};
use crate::{ChatRequest, ChatStream, Error, Result, Router};

/// What every service here returns.
type Answering = BoxFuture<'static, Result<ChatStream>>;

/// Always ready: what the router has no room for, it refuses or sends elsewhere.
impl Service<ChatRequest> for Router {
    type Response = ChatStream;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Answering {
        let router = self.clone();
        Box::pin(async move { router.chat(request).await })
    }
}

/// Takes the service that was found ready and leaves a clone in its place, which may not be.
fn take_ready<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    std::mem::replace(service, clone)
}
