//! Which answers are kept for others, and how a stream is kept while it is read.
use std::sync::Arc;
use std::time::Duration;

use aic_cache::semantic::same_text;
use aic_cache::{Cache, LeadGuard, Refusal, Tag, Worth};
use aic_router::{Answer, Draft, ErrorKind, Event, FinishReason, Part};
use futures_util::Stream;
use futures_util::stream;

/// How long the answer of a model that only stood in for another is kept.
const STAND_IN_TTL: Duration = Duration::from_secs(600);

/// The piece of an answer that all its readers get.
pub(crate) type Piece = aic_router::Result<Event, Arc<aic_router::Error>>;

/// The cache of answers.
pub(crate) type Answers = Cache<Answer, Piece>;

/// The part of making an answer that others wait for.
pub(crate) type Lead = LeadGuard<Answer, Piece>;

/// What is known before the answer comes about whether it may be kept.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Whether the request says how long the answer may be: then one that was cut there is whole.
    pub(crate) length_is_asked: bool,
    /// The model that was to answer; another one stands in for it.
    pub(crate) first_choice: Option<String>,
}

/// Whether an answer is for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Yes,
    /// It is, until the model that should have answered is back.
    Briefly,
    No,
}

impl Terms {
    fn keep(&self, answer: &Answer) -> Keep {
        let whole = match answer.finish {
            FinishReason::Stop => !answer.parts.is_empty(),
            FinishReason::Length => self.length_is_asked,
            FinishReason::ToolCalls => true,
            _ => false,
        };
        let stood_in = self.first_choice.as_ref().is_some_and(|first| *first != answer.model);
        match whole && answer.parts.iter().all(can_be_used) {
            false => Keep::No,
            true if stood_in => Keep::Briefly,
            true => Keep::Yes,
        }
    }
}

/// A call whose arguments are no JSON object cannot be carried out.
fn can_be_used(part: &Part) -> bool {
    let Part::ToolCall(call) = part else { return true };
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&call.arguments).is_ok()
}

/// Passes events on, puts the answer together meanwhile, and hands it to the cache just before its end is told.
pub(crate) fn kept_at_the_end(
    events: aic_router::ChatStream,
    lead: Lead,
    terms: Terms,
) -> impl Stream<Item = Piece> + Send {
    let start = (events, Draft::default(), Some(lead), terms);
    stream::unfold(start, |(mut events, mut draft, mut lead, terms)| async move {
        let event = events.next().await?;
        if let Ok(event) = &event {
            draft.add(event.clone());
        }
        if let Some(lead) = lead.take_if(|_| matches!(event, Ok(Event::End(_)))) {
            settle(lead, std::mem::take(&mut draft), &terms).await;
        }
        Some((event.map_err(Arc::new), (events, draft, lead, terms)))
    })
}

async fn settle(lead: Lead, draft: Draft, terms: &Terms) {
    let Ok(answer) = draft.finish() else { return lead.discard() };
    let lead = match terms.keep(&answer) {
        Keep::No => return lead.discard(),
        Keep::Briefly => lead.ttl(STAND_IN_TTL),
        Keep::Yes => lead,
    };
    if let Err(error) = lead.finish(&answer).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "answer not kept");
    }
}

/// What using an answer again saves.
pub(crate) fn worth(answer: &Answer) -> Worth {
    Worth {
        tokens: answer.usage.map(|usage| usage.input + usage.output),
        nano_usd: answer.cost.map(|cost| cost.0),
    }
}

/// By what an answer can be cleared: its provider and its model.
pub(crate) fn tags(answer: &Answer) -> Vec<Tag> {
    vec![Tag::new("provider", &answer.provider), Tag::new("model", &answer.model)]
}

/// Whether two answers say the same, however they are set.
pub(crate) fn same(a: &Answer, b: &Answer) -> bool {
    a.tool_calls().eq(b.tool_calls()) && same_text(&a.text(), &b.text())
}

/// The refusal behind an error, if every model that was asked refused the request for what it is.
pub(crate) fn refusal(error: &aic_router::Error) -> Option<Refusal> {
    let aic_router::Error::Failed { attempts } = error else { return None };
    let kinds = attempts.iter().map(|attempt| match attempt.error.kind() {
        ErrorKind::BadRequest => Some("bad_request"),
        ErrorKind::ContextTooLong => Some("context_too_long"),
        ErrorKind::Unsupported => Some("unsupported"),
        _ => None,
    });
    let codes: Option<Vec<_>> = kinds.collect();
    Some(Refusal::new(*codes?.last()?, error.to_string()))
}

#[cfg(test)]
mod tests {
    use aic_router::ToolCall;

    use super::*;

    fn answer(content: Event, finish: FinishReason) -> Answer {
        let mut draft = Draft::default();
        draft.add(Event::Start { provider: "p".to_owned(), model: "m".to_owned() });
        draft.add(content);
        draft.add(Event::End(finish));
        draft.finish().unwrap()
    }

    fn text(finish: FinishReason) -> Answer {
        answer(Event::Text("hi".to_owned()), finish)
    }

    fn call(arguments: &str) -> Answer {
        answer(Event::ToolCall(ToolCall::new("1", "f", arguments)), FinishReason::ToolCalls)
    }

    fn terms(length_is_asked: bool) -> Terms {
        Terms { length_is_asked, first_choice: Some("m".to_owned()) }
    }

    #[test]
    fn only_whole_answers_are_kept() {
        use FinishReason::{ContentFilter, Length, Other, Stop};

        assert_eq!(terms(false).keep(&text(Stop)), Keep::Yes);
        for cut in [ContentFilter, Other, Length] {
            assert_eq!(terms(false).keep(&text(cut)), Keep::No);
        }
        assert_eq!(terms(true).keep(&text(Length)), Keep::Yes);
    }

    #[test]
    fn call_whose_arguments_are_no_json_object_is_not_kept() {
        assert_eq!(terms(false).keep(&call(r#"{"city": "Rome"}"#)), Keep::Yes);
        for arguments in ["", "{", "[]", r#"{"city": "Ro"#] {
            assert_eq!(terms(false).keep(&call(arguments)), Keep::No, "{arguments}");
        }
    }

    #[test]
    fn answer_of_a_stand_in_is_kept_briefly() {
        let other = Terms { length_is_asked: false, first_choice: Some("better".to_owned()) };

        assert_eq!(other.keep(&text(FinishReason::Stop)), Keep::Briefly);
    }
}
