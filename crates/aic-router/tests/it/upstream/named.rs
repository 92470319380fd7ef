//! A provider under a name and with a model of the test's choice.

use aic_router::{
    Ability, ChatRequest, EventStream, ModelInfo, Price, Provider, ProviderError, ProviderInfo, ProviderKind,
};
use async_trait::async_trait;

use super::MODEL;

/// Two providers of one dialect can be behind one router, and Ollama's models have a price.
#[derive(Debug)]
pub(crate) struct Named {
    info: ProviderInfo,
    inner: Box<dyn Provider>,
}

impl Named {
    pub(crate) fn new(name: &str, inner: Box<dyn Provider>) -> Self {
        let model = ModelInfo::chat(MODEL).price(Self::price()).can(Ability::Prefill);
        Self { info: ProviderInfo::new(name, ProviderKind::Cloud).model(model), inner }
    }

    pub(crate) fn price() -> Price {
        Price::per_million(2.0, 10.0)
    }
}

#[async_trait]
impl Provider for Named {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        self.inner.chat(model, request).await
    }
}
