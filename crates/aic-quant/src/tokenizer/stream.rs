use super::Tokenizer;
use crate::Result;

/// Decodes tokens one at a time and never hands out half a character.
///
/// A token may end within a character, and a decoder may treat the first token differently; so each step decodes from
/// the start of the previous piece and hands out what is new, once it ends in a whole character.
#[derive(Debug, Default)]
pub(crate) struct TextStream {
    /// The previous piece's tokens, then those not handed out yet.
    tokens: Vec<u32>,
    /// How many of them belong to the previous piece.
    known: usize,
}

impl TextStream {
    /// The text that `token` completes; empty within a character.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.new_text(tokenizer)?;
        if text.is_empty() || text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        self.tokens.drain(..self.known);
        self.known = self.tokens.len();
        Ok(text)
    }

    /// What is left at the end; an unfinished character becomes U+FFFD.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let text = self.new_text(tokenizer)?;
        self.known = self.tokens.len();
        Ok(text)
    }

    fn new_text(&self, tokenizer: &Tokenizer) -> Result<String> {
        let known = tokenizer.decode(&self.tokens[..self.known])?;
        let all = tokenizer.decode(&self.tokens)?;
        Ok(all.get(known.len()..).unwrap_or_default().to_owned())
    }
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

        let pieces: Vec<String> = tokenizer
            .encode(text)
            .unwrap()
            .into_iter()
            .map(|token| stream.push(&tokenizer, token).unwrap())
            .collect();

        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
        assert_eq!(stream.finish(&tokenizer).unwrap(), "");
    }

    #[test]
    fn unfinished_character_comes_out_marked_at_the_end() {
        let tokenizer = tokenizer(&tiny());
        let crab = tokenizer.encode("🦀").unwrap();
        let mut stream = TextStream::default();

        for token in &crab[..2] {
            assert_eq!(stream.push(&tokenizer, *token).unwrap(), "");
        }

        assert!(stream.finish(&tokenizer).unwrap().contains('\u{fffd}'));
    }
}
