use crate::{Error, Model, Result};

/// A text as windows of tokens, cut as llama.cpp's `llama-perplexity` cuts it.
///
/// Windows do not overlap and know nothing of each other; one that the text does not fill is left out, unless it is the only one. Each
/// starts with the beginning-of-text token, in the place of its own first one, if the model wants it. The first half of a
/// window is context, and the positions scored predict the tokens after it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    /// All tokens, as the model's tokenizer makes them.
    pub(super) tokens: Vec<u32>,
    window: usize,
    bos: Option<u32>,
}

impl Text {
    pub(super) fn new(model: &Model, text: &str, window: usize) -> Result<Self> {
        let tokens = model.tokenize(text)?;
        let bos = model.tokenize("")?.first().copied();
        if tokens.len() < 4 {
            return Err(Error::Empty { what: "text of at least 4 tokens" });
        }
        Ok(Self { window: window.min(tokens.len()), tokens, bos })
    }

    /// The hash of all tokens.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for token in &self.tokens {
            hasher.update(&token.to_le_bytes());
        }
        hasher.finalize().into()
    }

    /// Tokens of one window.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    pub(super) fn windows(&self) -> usize {
        self.tokens.len() / self.window
    }

    /// Positions scored in one window.
    pub(super) fn scored(&self) -> usize {
        self.window - 1 - self.first()
    }

    /// The first position scored.
    pub(super) fn first(&self) -> usize {
        self.window / 2
    }

    /// What the model is given of the window `index`: all but the last token, which is only predicted.
    pub(super) fn prompt(&self, index: usize) -> Vec<u32> {
        let start = index * self.window;
        let mut tokens = self.tokens[start..start + self.window - 1].to_vec();
        if let Some(bos) = self.bos {
            tokens[0] = bos;
        }
        tokens
    }

    /// The token that follows `position` of the window `index`.
    pub(super) fn truth(&self, index: usize, position: usize) -> u32 {
        self.tokens[index * self.window + position + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_and_their_second_halves_are_scored() {
        let text = Text { tokens: (0..29).collect(), window: 10, bos: Some(99) };
        assert_eq!((text.windows(), text.first(), text.scored()), (2, 5, 4));
        assert_eq!(text.prompt(1), [99, 11, 12, 13, 14, 15, 16, 17, 18]);
        assert_eq!([5, 8].map(|position| text.truth(1, position)), [16, 19]);
        assert_eq!(Text { bos: None, ..text }.prompt(0)[0], 0);
    }
}
