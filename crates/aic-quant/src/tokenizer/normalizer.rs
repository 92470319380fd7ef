use super::charsmap::Charsmap;
use super::spelling::SPACE;
use crate::Result;
use crate::gguf::Metadata;

/// What SentencePiece does to a text before cutting it.
pub(super) struct Normalizer {
    charsmap: Option<Charsmap>,
    adds_space: bool,
    /// Whether runs of spaces become one, and those at either end none.
    joins_spaces: bool,
}

impl Normalizer {
    /// What the file says. `adds_space` is what holds if it does not say whether a text starts with an extra space.
    pub(super) fn new(metadata: &Metadata, adds_space: bool) -> Result<Self> {
        Ok(Self {
            charsmap: Charsmap::of(metadata)?,
            adds_space: metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(adds_space),
            joins_spaces: metadata.flag("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
        })
    }

    /// Whether a text starts with an extra space.
    pub(super) fn adds_space(&self) -> bool {
        self.adds_space
    }

    /// `text` with `▁` for spaces; empty if nothing is left of it.
    pub(super) fn normalize(&self, text: &str) -> String {
        let mapped = self.charsmap.as_ref().map(|charsmap| charsmap.map(text));
        let mapped = mapped.as_deref().unwrap_or(text);
        let mapped = if self.joins_spaces { mapped.trim_start_matches(' ') } else { mapped };
        let mut out = String::with_capacity(mapped.len() + SPACE.len_utf8());
        if self.adds_space && !mapped.is_empty() {
            out.push(SPACE);
        }
        let mut after_space = false;
        for letter in mapped.chars() {
            if letter != ' ' {
                out.push(letter);
            } else if !(self.joins_spaces && after_space) {
                out.push(SPACE);
            }
            after_space = letter == ' ';
        }
        if self.joins_spaces {
            out.truncate(out.trim_end_matches(SPACE).len());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalize(text: &str, adds_space: bool, joins_spaces: bool) -> String {
        Normalizer { charsmap: None, adds_space, joins_spaces }.normalize(text)
    }

    #[test]
    fn spaces_are_added_and_joined_as_the_file_says() {
        assert_eq!(normalize("  a  b ", false, false), "▁▁a▁▁b▁");
        assert_eq!(normalize("  a  b ", true, false), "▁▁▁a▁▁b▁");
        assert_eq!(normalize("  a  b ", true, true), "▁a▁b");
        assert_eq!(normalize("  a\u{a0} b ", false, true), "a\u{a0}▁b");
        assert_eq!(normalize("", true, false), "");
        assert_eq!(normalize("   ", true, true), "");
        assert_eq!(normalize("   ", true, false), "▁▁▁▁");
    }
}
