use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Answering, take_ready};
#[cfg(feature = "redis")]
use crate::SharedLimits;
use crate::limit::Limits;
use crate::{ChatRequest, ChatStream, Clock, Error, ProviderError, RateLimit, Result, Scope, SystemClock};

/// Lets no more requests and tokens through than stated; the rest are refused at once, not queued.
///
/// A request counts as its estimated tokens and the longest answer it allows, or 256 where it does not say.
/// All services the layer makes draw from the same buckets.
///
/// # Errors
/// [`Error::HeldBack`] for a request that has to wait, with how long, and for one larger than a whole
/// minute's worth.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    limits: Arc<Limits>,
    provider: Arc<str>,
}

impl LimitLayer {
    /// Starts a layer without limits.
    pub fn builder() -> LimitLayerBuilder {
        LimitLayerBuilder::default()
    }
}

/// The settings of a [`LimitLayer`].
#[derive(Debug, Default)]
#[must_use]
pub struct LimitLayerBuilder {
    provider: String,
    limits: Vec<(Scope, RateLimit)>,
    #[cfg(feature = "redis")]
    shared: Option<SharedLimits>,
}

impl LimitLayerBuilder {
    /// The provider behind the layer, for limits of [`Scope::Provider`]. None by default.
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.provider = name.into();
        self
    }

    /// Adds a limit; one for each scope. None by default.
    pub fn limit(mut self, scope: Scope, limit: RateLimit) -> Self {
        self.limits.push((scope, limit));
        self
    }

    /// Shares the limits with other processes. Not by default.
    #[cfg(feature = "redis")]
    pub fn shared(mut self, shared: SharedLimits) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Builds the layer, without connecting anywhere.
    ///
    /// # Errors
    /// [`Error::Config`] if a scope is stated twice or names another provider than the one behind the layer, a
    /// limit is 0, or the shared limits' URL is not understood.
    pub fn build(self) -> Result<LimitLayer> {
        self.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let limits = Limits::new(&self.limits, &clock)?;
        #[cfg(feature = "redis")]
        let limits = match &self.shared {
            Some(shared) => limits.shared(shared, &clock)?,
            None => limits,
        };
        Ok(LimitLayer { limits: Arc::new(limits), provider: self.provider.into() })
    }

    fn check(&self) -> Result<()> {
        let foreign = |scope: &Scope| matches!(scope, Scope::Provider(name) if *name != self.provider);
        match self.limits.iter().find(|(scope, _)| foreign(scope)) {
            Some((scope, _)) => Err(Error::Config(format!(
                "a limit for {scope}, but the provider behind the layer is `{}`",
                self.provider
            ))),
            None => Ok(()),
        }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, layer: self.clone() }
    }
}

/// A service under a [`LimitLayer`].
#[derive(Clone, Debug)]
pub struct LimitService<S> {
    inner: S,
    layer: LimitLayer,
}

impl<S> Service<ChatRequest> for LimitService<S>
where
    S: Service<ChatRequest, Response = ChatStream> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send + 'static,
{
    type Response = ChatStream;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: ChatRequest) -> Answering {
        let mut inner = take_ready(&mut self.inner);
        let LimitLayer { limits, provider } = self.layer.clone();
        Box::pin(async move {
            let tokens = tokens(&request);
            let taken = limits.take(&provider, request.tenant.as_deref(), tokens).await;
            taken.map_err(|denied| Error::HeldBack { source: ProviderError::from(denied) })?;
            inner.call(request).await.map_err(Into::into)
        })
    }
}

/// The most tokens a request may use, read and written.
fn tokens(request: &ChatRequest) -> u64 {
    request.estimated_tokens().saturating_add(request.expected_output())
}
