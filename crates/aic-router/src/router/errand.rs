//! What all calls of one request share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::demand::Demand;
use crate::{Ability, ChatRequest, Event, Provider, ProviderKind, ReasoningEffort};

/// First-content timeouts where none is set.
const CLOUD_FIRST_CONTENT: Duration = Duration::from_secs(60);
const LOCAL_FIRST_CONTENT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Errand {
    pub(super) router: Arc<Inner>,
    pub(super) request: ChatRequest,
    pub(super) demand: Arc<Demand>,
    pub(super) deadline: Instant,
}

impl Errand {
    pub(super) fn now(&self) -> Instant {
        self.router.clock.now()
    }

    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.now())
    }

    pub(super) fn provider(&self, index: usize) -> &dyn Provider {
        &*self.router.providers[index]
    }

    /// How long a call may be silent before its first event.
    pub(super) fn first_content_limit(&self, kind: ProviderKind) -> Duration {
        let default = match kind {
            ProviderKind::Cloud => CLOUD_FIRST_CONTENT,
            ProviderKind::Local => LOCAL_FIRST_CONTENT,
        };
        self.router.settings.first_content.unwrap_or(default).min(self.time_left())
    }

    /// How long a call may be silent after that.
    pub(super) fn idle_limit(&self) -> Duration {
        self.router.settings.idle.min(self.time_left())
    }

    /// Whether the answer has begun with `event`. Thoughts count for those who asked for them.
    pub(super) fn is_content(&self, event: &Event) -> bool {
        match event {
            Event::Thinking(thinking) => self.asks_for_thoughts() && !thinking.text.is_empty(),
            event => event.is_content(),
        }
    }

    fn asks_for_thoughts(&self) -> bool {
        self.request.reasoning.is_some_and(|effort| effort > ReasoningEffort::Off)
    }

    /// Whether a broken answer could be gone on with: only words can, and only by a model that takes the
    /// beginning of its answer from the conversation.
    pub(super) fn can_resume(&self) -> bool {
        let request = &self.request;
        let plain = request.tools.is_empty() && request.response_format.is_none();
        plain
            && !self.asks_for_thoughts()
            && self.router.routes.iter().any(|route| route.model.ability(Ability::Prefill) == Some(true))
    }
}
