use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::Instant;
use tower_service::Service;

use super::Answering;
use crate::{
    Attempt, ChatRequest, ChatStream, Error, Event, EventStream, Price, Provider, ProviderError, Result,
    Usage,
};

/// One model of one provider as a service: one call for each request, without choice, retry or timeout.
///
/// The stream has what a router's has: who answers first, usage and cost last. Always ready.
///
/// # Errors
/// [`Error::Failed`] with the one attempt before the first content, [`Error::Interrupted`] after it.
#[derive(Clone, Debug)]
pub struct ProviderService {
    provider: Arc<dyn Provider>,
    model: Arc<str>,
}

impl ProviderService {
    /// The model of that name at `provider`.
    pub fn new(provider: impl Provider, model: impl Into<Arc<str>>) -> Self {
        Self { provider: Arc::new(provider), model: model.into() }
    }

    async fn answer(self, request: ChatRequest) -> Result<ChatStream> {
        let began = Instant::now();
        match self.open(&request).await {
            Ok((head, rest)) => Ok(ChatStream::new(self.shape(head, rest))),
            Err(error) => {
                let (provider, model) = self.names();
                let failed = Attempt { provider, model, error, elapsed: began.elapsed() };
                Err(Error::Failed { attempts: vec![failed] })
            }
        }
    }

    /// Calls, and waits for the first content.
    async fn open(&self, request: &ChatRequest) -> Result<(Vec<Event>, EventStream), ProviderError> {
        let mut events = self.provider.chat(&self.model, request).await?;
        let mut head = Vec::new();
        while !head.last().is_some_and(Event::is_content) {
            head.push(events.next().await.ok_or_else(ProviderError::cut)??);
        }
        Ok((head, events))
    }

    fn shape(&self, head: Vec<Event>, rest: EventStream) -> impl Stream<Item = Result<Event>> + use<> {
        let (provider, model) = self.names();
        let start = Event::Start { provider: provider.clone(), model: model.clone() };
        let broke_off =
            move |source| Error::Interrupted { provider: provider.clone(), model: model.clone(), source };
        // Not seen where the answer has its end.
        let rest = rest.chain(stream::once(async { Err(ProviderError::cut()) }));
        let mut account = Account { usage: None, price: self.price() };
        let events = stream::iter(head).map(Ok).chain(rest).flat_map(move |event| {
            stream::iter(match event {
                Ok(event) => account.pass(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(broke_off(error))],
            })
        });
        stream::iter([Ok(start)]).chain(events)
    }

    fn names(&self) -> (String, String) {
        (self.provider.info().name.clone(), self.model.to_string())
    }

    fn price(&self) -> Option<Price> {
        let info = self.provider.info();
        info.models.iter().find(|model| *model.name == *self.model)?.price_at(info.kind)
    }
}

impl Service<ChatRequest> for ProviderService {
    type Response = ChatStream;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Answering {
        Box::pin(self.clone().answer(request))
    }
}

/// Keeps the usage until the end, where the last one is the true one and has a cost.
struct Account {
    usage: Option<Usage>,
    price: Option<Price>,
}

impl Account {
    fn pass(&mut self, event: Event) -> Vec<Event> {
        match event {
            Event::Start { .. } | Event::Cost(_) => vec![],
            Event::Usage(usage) => {
                self.usage = Some(usage);
                vec![]
            }
            Event::End(reason) => {
                let cost = self.usage.and_then(|usage| self.price?.cost(usage));
                let last = [self.usage.map(Event::Usage), cost.map(Event::Cost), Some(Event::End(reason))];
                last.into_iter().flatten().collect()
            }
            event => vec![event],
        }
    }
}
