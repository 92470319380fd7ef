use futures_util::{StreamExt, stream};

use crate::{ChatStream, Error, Result};

/// Waits for the first content. What fails before it is this function's error and not the stream's.
pub(super) async fn begun(mut answer: ChatStream) -> Result<ChatStream> {
    let mut head = Vec::new();
    loop {
        let event = answer.next().await.unwrap_or(Err(Error::Truncated))?;
        let content = event.is_content();
        head.push(Ok(event));
        if content {
            return Ok(ChatStream::new(stream::iter(head).chain(answer)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Event, FinishReason, ProviderError};

    fn answer(events: Vec<Result<Event>>) -> ChatStream {
        ChatStream::new(stream::iter(events))
    }

    fn broken() -> Error {
        let source = ProviderError::new(ErrorKind::Transient, "as the test says");
        Error::Interrupted { provider: "p".into(), model: "m".into(), source }
    }

    #[tokio::test]
    async fn nothing_is_lost_of_an_answer_that_has_begun() {
        let text = |text: &str| Event::Text(text.into());
        let events = [text(""), text("a"), text("b"), Event::End(FinishReason::Stop)];

        let answer = begun(answer(events.clone().into_iter().map(Ok).collect())).await.unwrap();

        assert_eq!(answer.map(Result::unwrap).collect::<Vec<_>>().await, events);
    }

    #[tokio::test]
    async fn what_fails_before_the_first_content_is_an_error_and_after_it_in_the_stream() {
        let early = begun(answer(vec![Ok(Event::Text(String::new())), Err(broken())])).await;
        let late = begun(answer(vec![Ok(Event::Text("a".into())), Err(broken())])).await;

        assert!(matches!(early, Err(Error::Interrupted { .. })));
        assert!(late.unwrap().collect().await.is_err());
        assert!(matches!(begun(answer(vec![])).await, Err(Error::Truncated)));
    }
}
