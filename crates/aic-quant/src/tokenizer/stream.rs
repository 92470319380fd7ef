use super::Tokenizer;

/// Decodes tokens one at a time and never hands out half a character.
#[derive(Debug, Default)]
pub(crate) struct TextStream {
    /// The start of a character whose other bytes have not come yet: at most three bytes.
    pending: Vec<u8>,
    /// Whether a token that is text has come.
    started: bool,
}

impl TextStream {
    /// The text that `token` completes; empty within a character. Bytes that are part of no character become U+FFFD.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> String {
        if tokenizer.is_text(token) {
            tokenizer.write(token, !self.started, &mut self.pending);
            self.started = true;
        }
        let whole = self.pending.len() - unfinished(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        text
    }

    /// What is left at the end: U+FFFD for an unfinished character.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end are the start of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let is_start = |count: &usize| {
        let error = std::str::from_utf8(&bytes[bytes.len() - count..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(is_start).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{tiny, tokenizer};
    use super::*;

    #[test]
    fn characters_of_several_tokens_come_out_whole() {
        let tokenizer = tokenizer(&tiny());
        let text = "hello 漢🦀é!";
        let mut stream = TextStream::default();

        let pieces: Vec<String> =
            tokenizer.encode(text).unwrap().into_iter().map(|token| stream.push(&tokenizer, token)).collect();

        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn unfinished_character_comes_out_marked_at_the_end() {
        let tokenizer = tokenizer(&tiny());
        let crab = tokenizer.encode("🦀").unwrap();
        let mut stream = TextStream::default();

        for token in &crab[..2] {
            assert_eq!(stream.push(&tokenizer, *token), "");
        }

        assert!(stream.finish().contains('\u{fffd}'));
    }
}
