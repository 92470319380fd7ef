use std::collections::VecDeque;

use serde_json::Value;

use super::frames::{Frames, Framing};
use crate::{ErrorKind, Event, ProviderError};

/// What a provider's messages mean.
pub(crate) trait Protocol: Send {
    /// Takes one message's data and appends the events in it; `End` only once the answer is whole.
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;

    /// Takes the end of the body. Only a protocol without a last message of its own appends `End` here.
    fn body_ended(&mut self, events: &mut VecDeque<Event>) {
        let _ = events;
    }
}

/// Turns a body's bytes into events.
pub(crate) struct Decoder {
    frames: Frames,
    protocol: Box<dyn Protocol>,
    ended: bool,
}

impl Decoder {
    pub(crate) fn new(framing: Framing, protocol: impl Protocol + 'static) -> Self {
        Self { frames: Frames::new(framing), protocol: Box::new(protocol), ended: false }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.frames.framing()
    }

    /// Whether the answer is whole.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes the next piece of the body. What follows the end of the answer is ignored.
    pub(crate) fn feed(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.ended {
            return Ok(());
        }
        self.frames.push(bytes);
        self.drain(events)
    }

    /// Takes the end of the body.
    ///
    /// A last message without its line break still counts; a piece of one does not.
    pub(crate) fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        self.frames.end();
        let whole = self.drain(events).is_ok();
        if whole && !self.ended {
            self.frames.stray_fault()?;
            self.protocol.body_ended(events);
            self.ended = matches!(events.back(), Some(Event::End(_)));
        }
        if self.ended {
            return Ok(());
        }
        Err(ProviderError::new(ErrorKind::Truncated, "the body ended before the answer did"))
    }

    fn drain(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        while !self.ended {
            let Some(message) = self.frames.next_message()? else {
                break;
            };
            self.protocol.message(&message, events)?;
            self.ended = matches!(events.back(), Some(Event::End(_)));
        }
        Ok(())
    }
}

/// Reads one message as JSON.
pub(crate) fn parse(data: &str) -> Result<Value, ProviderError> {
    serde_json::from_str(data).map_err(|error| malformed("a message is not JSON").caused_by(error))
}

pub(super) fn malformed(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::frames::FRAME_BYTES_MAX;
    use crate::{Answer, Draft, FinishReason};

    /// Decodes `body` whole, and in two pieces cut at every byte, and one byte at a time: always the same.
    pub(crate) fn decode(decoder: impl Fn() -> Decoder, body: &str) -> Result<Vec<Event>, ErrorKind> {
        let whole = run(decoder(), [body.as_bytes()]);
        for cut in 0..body.len() {
            let (head, tail) = body.as_bytes().split_at(cut);
            assert_eq!(run(decoder(), [head, tail]), whole, "cut at byte {cut}");
        }
        assert_eq!(run(decoder(), body.as_bytes().chunks(1)), whole, "one byte at a time");
        whole
    }

    /// Asserts that no cut-off beginning of `body` passes for a whole answer.
    pub(crate) fn assert_needs_its_end(decoder: impl Fn() -> Decoder, body: &str) {
        let body = body.trim_end();
        for end in 0..body.len() {
            let result = run(decoder(), [&body.as_bytes()[..end]]);
            assert!(result.is_err(), "the first {end} bytes passed for the whole: {result:?}");
        }
    }

    /// The answer that events make.
    pub(crate) fn answer(events: Vec<Event>) -> Answer {
        let mut draft = Draft::default();
        draft.add(Event::Start { provider: "p".into(), model: "m".into() });
        events.into_iter().for_each(|event| draft.add(event));
        draft.finish().expect("the events are whole")
    }

    fn run<'a>(
        mut decoder: Decoder,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Event>, ErrorKind> {
        let mut events = VecDeque::new();
        let kind = |error: ProviderError| error.kind().clone();
        for piece in pieces {
            decoder.feed(piece, &mut events).map_err(kind)?;
        }
        decoder.finish(&mut events).map_err(kind)?;
        Ok(events.into())
    }

    /// Takes every message for text, and `end` for the end.
    struct Plain;

    impl Protocol for Plain {
        fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
            events.push_back(match data {
                "end" => Event::End(FinishReason::Stop),
                text => Event::Text(text.into()),
            });
            Ok(())
        }
    }

    fn texts(events: &[Event]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|e| if let Event::Text(text) = e { Some(text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn sse_takes_every_line_ending_comment_and_field() {
        let body =
            ": ping\r\n\r\nevent: x\rdata: a\r\rdata:b\ndata:  c\nid: 1\n\nnonsense\n\ndata: ü\n\ndata: end";

        let events = decode(|| Decoder::new(Framing::Sse, Plain), body).unwrap();

        assert_eq!(texts(&events), ["a", "b\n c", "ü"]);
    }

    #[test]
    fn ndjson_skips_blank_lines_and_what_follows_the_end() {
        let body = "a\r\n\n b \nend\nlate\n";

        let events = decode(|| Decoder::new(Framing::Ndjson, Plain), body).unwrap();

        assert_eq!(texts(&events), ["a", "b"]);
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn error_told_outside_of_the_events_is_found_at_the_end() {
        let error = "{\n  \"error\": {\r\n    \"code\": 503,\n    \"message\": \"full: later\"\n  }\n}";
        for stray in [error.to_owned(), format!("[{error}\n]\n"), format!("nonsense\n{error}\n\n")] {
            let body = format!("data: a\n\n{stray}");

            let result = decode(|| Decoder::new(Framing::Sse, Plain), &body);

            assert_eq!(result, Err(ErrorKind::Overloaded { retry_after: None }), "{stray}");
        }
        assert_eq!(decode(|| Decoder::new(Framing::Sse, Plain), "{\n}\n"), Err(ErrorKind::Truncated));
    }

    #[test]
    fn message_without_an_end_is_refused_once_it_is_too_long() {
        for (framing, start) in [(Framing::Sse, "data: "), (Framing::Ndjson, "")] {
            let mut decoder = Decoder::new(framing, Plain);
            let mut events = VecDeque::new();
            decoder.feed(start.as_bytes(), &mut events).unwrap();

            let piece = vec![b'x'; FRAME_BYTES_MAX / 4];
            let results: Vec<bool> = (0..5).map(|_| decoder.feed(&piece, &mut events).is_ok()).collect();

            assert!(results[0] && !results[4], "{framing:?}: {results:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_malformed() {
        let mut decoder = Decoder::new(Framing::Ndjson, Plain);

        let error = decoder.feed(b"\xff\xfe\n", &mut VecDeque::new()).unwrap_err();

        assert_eq!(*error.kind(), ErrorKind::Malformed);
    }

    fn decoders() -> [Decoder; 4] {
        use crate::wire::{anthropic, gemini, ollama, openai};
        [
            Decoder::new(Framing::Sse, anthropic::AnthropicEvents::default()),
            Decoder::new(Framing::Sse, gemini::GeminiParts::default()),
            Decoder::new(Framing::Sse, openai::OpenAiChunks::default()),
            Decoder::new(Framing::Ndjson, ollama::OllamaLines::default()),
        ]
    }

    /// Pieces of which messages of all protocols are made, and some that fit nowhere.
    fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
        const PIECES: [&str; 40] = [
            "data: ",
            "\n",
            "\n\n",
            "\r",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"error\"",
            "\"type\"",
            "\"message_delta\"",
            "\"usage\"",
            "\"choices\"",
            "\"delta\"",
            "\"candidates\"",
            "\"parts\"",
            "\"done\"",
            "\"message\"",
            "true",
            "null",
            "18446744073709551615",
            "-1",
            "\"input_tokens\"",
            "[DONE]",
            "\"text\"",
            "é",
            "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"b\"}}\n\n",
            "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\",\"signature\":1}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"s\"}}\n\n",
            "data: {\"type\":\"content_block_stop\"}\n\n",
            "data: {\"type\":\"message_stop\"}\n\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[",
            "{\"functionCall\":{\"name\":\"a\",\"args\":",
            "\"thoughtSignature\":",
            "]},\"finishReason\":\"STOP\"}]}\n\n",
            "\"totalTokenCount\":",
            "\"promptTokenCount\":",
        ];
        let piece = proptest::sample::select(&PIECES[..]);
        proptest::strategy::Strategy::prop_map(proptest::collection::vec(piece, 0..60), |pieces| {
            pieces.concat()
        })
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            for decoder in decoders() {
                let _any = run(decoder, [body.as_slice()]);
            }
        }

        #[test]
        fn no_shuffled_messages_make_a_decoder_panic(body in pieces()) {
            for decoder in decoders() {
                let _any = run(decoder, [body.as_bytes()]);
            }
        }
    }
}
