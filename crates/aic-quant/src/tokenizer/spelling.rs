use super::vocabulary::{Kind, Vocabulary, byte};

/// What stands for a space in SentencePiece vocabularies.
pub(super) const SPACE: char = '▁';

/// How the texts of tokens stand for bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spelling {
    /// Each character stands for a byte, printable ones for themselves: see [`alphabet`].
    Bytes,
    /// `▁` stands for a space, and tokens such as `<0x0A>` for a byte; the first space of a text may be no part of it.
    Spaces { strips_first: bool },
    /// Every token is a word of its own, unless it starts with this prefix, as `##` in WordPiece.
    Words { continuation: String },
}

impl Spelling {
    /// Appends the bytes of `token`, none for control tokens. `first` tells whether the text begins with it.
    pub(super) fn write(&self, vocabulary: &Vocabulary, token: u32, first: bool, out: &mut Vec<u8>) {
        let text = vocabulary.text(token);
        match vocabulary.kind(token) {
            Kind::Control | Kind::Unknown => {}
            Kind::UserDefined => out.extend(text.as_bytes()),
            Kind::Byte => out.extend(byte(text)),
            Kind::Ordinary => self.spell(text, first, out),
        }
    }

    fn spell(&self, text: &str, first: bool, out: &mut Vec<u8>) {
        match self {
            Self::Bytes => spell_bytes(text, out),
            Self::Spaces { strips_first } => {
                let text =
                    if first && *strips_first { text.strip_prefix(SPACE).unwrap_or(text) } else { text };
                let space = |part: char| if part == SPACE { ' ' } else { part };
                text.chars().map(space).for_each(|part| out.extend(part.encode_utf8(&mut [0; 4]).as_bytes()));
            }
            Self::Words { continuation } => match text.strip_prefix(continuation.as_str()) {
                Some(rest) if !continuation.is_empty() => out.extend(rest.as_bytes()),
                _ => {
                    out.extend((!first).then_some(b' '));
                    out.extend(text.as_bytes());
                }
            },
        }
    }
}

/// A token with a character outside the alphabet stands for itself.
fn spell_bytes(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for letter in text.chars() {
        let Some(byte) = byte_of(letter) else {
            out.truncate(start);
            return out.extend(text.as_bytes());
        };
        out.push(byte);
    }
}

/// The 256 characters that stand for bytes in byte-level vocabularies, in byte order: of Latin-1 those that can be seen
/// stand for themselves, the others follow from U+0100 on.
pub(super) fn alphabet() -> [char; 256] {
    let mut hidden = 0x100_u32..;
    std::array::from_fn(|byte| match byte as u8 {
        seen @ (33..=126 | 161..=172 | 174..=255) => char::from(seen),
        _ => hidden.next().and_then(char::from_u32).expect("68 characters follow U+0100"),
    })
}

/// The byte that `letter` stands for.
fn byte_of(letter: char) -> Option<u8> {
    match u32::from(letter) {
        seen @ (33..=126 | 161..=172 | 174..=255) => Some(seen as u8),
        hidden @ 0x100..=0x120 => Some((hidden - 0x100) as u8),
        hidden @ 0x121..=0x142 => Some((hidden - 0x121 + 127) as u8),
        0x143 => Some(173),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabet_has_a_character_for_every_byte() {
        for (byte, letter) in alphabet().into_iter().enumerate() {
            assert_eq!(byte_of(letter), Some(byte as u8), "{letter}");
        }
        assert_eq!(alphabet()[usize::from(b' ')], 'Ġ');
        assert_eq!(byte_of(' '), None);
    }

    #[test]
    fn tokens_spell_bytes_as_their_kind_says() {
        let tokens = [
            ("Ġé", Kind::Ordinary),
            ("  é", Kind::UserDefined),
            ("<0xE9>", Kind::Byte),
            ("<s>", Kind::Control),
            ("▁a▁", Kind::Ordinary),
            ("##a", Kind::Ordinary),
        ];
        let vocabulary = Vocabulary::from_tokens(tokens).unwrap();
        let spell = |spelling: &Spelling, token, first| {
            let mut out = Vec::new();
            spelling.write(&vocabulary, token, first, &mut out);
            out
        };
        let spaces = Spelling::Spaces { strips_first: true };
        let words = Spelling::Words { continuation: "##".to_owned() };

        assert_eq!(spell(&Spelling::Bytes, 0, true), b" \xE9");
        assert_eq!(spell(&Spelling::Bytes, 4, true), "▁a▁".as_bytes());
        assert_eq!(spell(&spaces, 1, false), "  é".as_bytes());
        assert_eq!(spell(&spaces, 2, false), b"\xE9");
        assert_eq!(spell(&spaces, 3, false), b"");
        assert_eq!(spell(&spaces, 4, true), b"a ");
        assert_eq!(spell(&spaces, 4, false), b" a ");
        assert_eq!(spell(&words, 5, false), b"a");
        assert_eq!(spell(&words, 0, false), " Ġé".as_bytes());
        assert_eq!(spell(&words, 0, true), "Ġé".as_bytes());
    }
}
