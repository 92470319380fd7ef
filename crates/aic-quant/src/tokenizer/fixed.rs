use aho_corasick::{AhoCorasick, MatchKind};

use super::failed;
use super::vocabulary::{Kind, Vocabulary};
use crate::Result;

/// The tokens found in a text before anything else: control, user-defined and unknown ones, written out.
///
/// Where several fit, the leftmost is taken, and of those the longest, as the `tokenizers` library does.
pub(super) struct Fixed {
    finder: AhoCorasick,
    tokens: Vec<u32>,
    /// Whether white space after a control token is swallowed.
    swallows_space: bool,
}

/// A part of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Token(u32),
}

impl Fixed {
    /// The fixed tokens of `vocabulary`. With `swallows_space`, white space after control tokens is not text, which no file says:
    /// it is how Phi 3 is used.
    pub(super) fn new(vocabulary: &Vocabulary, swallows_space: bool) -> Result<Self> {
        let is_fixed = |kind| matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown);
        let (tokens, texts): (Vec<u32>, Vec<&str>) = vocabulary
            .iter()
            .filter(|(_, text, kind)| is_fixed(*kind) && !text.is_empty())
            .map(|(token, text, _)| (token, text))
            .unzip();
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let finder = finder.map_err(|error| failed("look for special tokens")(error.into()))?;
        Ok(Self { finder, tokens, swallows_space })
    }

    /// Cuts `text` into fixed tokens and what lies between them.
    pub(super) fn parts<'a>(&self, text: &'a str, vocabulary: &Vocabulary) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut start = 0;
        for found in self.finder.find_iter(text) {
            // Swallowed white space may reach into a token of white space, which is then none.
            let Some(between) = text.get(start..found.start()) else { continue };
            let token = self.tokens[found.pattern().as_usize()];
            parts.extend((!between.is_empty()).then_some(Part::Text(between)));
            parts.push(Part::Token(token));
            start = found.end();
            if self.swallows_space && vocabulary.kind(token) == Kind::Control {
                start = text.len() - text[start..].trim_start().len();
            }
        }
        parts.extend((start < text.len()).then(|| Part::Text(&text[start..])));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &'static str, strips: bool) -> Vec<Part<'static>> {
        let tokens = [
            ("<s>", Kind::Control),
            ("  ", Kind::UserDefined),
            ("    ", Kind::UserDefined),
            ("a", Kind::Ordinary),
            ("", Kind::Control),
        ];
        let vocabulary = Vocabulary::from_tokens(tokens).unwrap();
        Fixed::new(&vocabulary, strips).unwrap().parts(text, &vocabulary)
    }

    #[test]
    fn longest_token_at_the_leftmost_place_is_taken() {
        use Part::{Text, Token};
        assert_eq!(parts("a<s>     b", false), [Text("a"), Token(0), Token(2), Text(" b")]);
        assert_eq!(parts("<s", false), [Text("<s")]);
        assert_eq!(parts("", false), []);
    }

    #[test]
    fn white_space_after_control_tokens_is_swallowed_where_asked_for() {
        use Part::{Text, Token};
        assert_eq!(parts("<s> \n     a  b", true), [Token(0), Text("a"), Token(1), Text("b")]);
        assert_eq!(parts("<s>   ", true), [Token(0)]);
    }
}
