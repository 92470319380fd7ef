//! Canonically equivalent texts are one text: Unicode Normalization Form C ([UAX #15]).
//!
//! [UAX #15]: https://www.unicode.org/reports/tr15/

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// `text` in NFC; borrowed where it is seen at once to be in it already.
#[inline]
pub(super) fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { beyond_ascii(text) }
}

fn beyond_ascii(text: &str) -> Cow<'_, str> {
    if is_latin(text) || is_nfc_quick(text.chars().map(stand_in)) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// Whether every character lies before U+0300, the first that NFC may touch: no byte of such a text reaches 0xCC.
fn is_latin(text: &str) -> bool {
    // The greatest of a block is found many bytes at a time; leaving at the first great one would be byte by byte.
    text.as_bytes().chunks(256).all(|block| block.iter().fold(0, |most, &byte| most.max(byte)) < 0xCC)
}

/// `a` for a character that composes with nothing before it, which saves the look-up of its properties.
///
/// The ranges are stable: NFC of an assigned character never changes.
fn stand_in(c: char) -> char {
    match c {
        '\0'..='\u{2FF}'             // Latin
        | '\u{400}'..='\u{482}'      // Cyrillic
        | '\u{2010}'..='\u{2027}'    // dashes and quotation marks
        | '\u{3001}'..='\u{3029}'    // East Asian punctuation
        | '\u{3041}'..='\u{3096}'    // Hiragana
        | '\u{30A1}'..='\u{30FA}'    // Katakana
        | '\u{3400}'..='\u{9FFF}'    // Han
        | '\u{AC00}'..='\u{D7A3}'    // Hangul
        | '\u{FF01}'..='\u{FF60}'    // full-width forms
        | '\u{1F300}'..='\u{1F6FF}'  // pictures
        => 'a',
        other => other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;

    use super::*;

    /// Texts rich in what composes: letters, marks, Jamo, singletons, precomposed letters.
    pub(in crate::fingerprint) fn marked() -> impl Strategy<Value = String> {
        let class = "[a-cA-CäöÅ\u{300}-\u{345}\u{327}\u{212B}\u{2126}\u{1100}-\u{1112}\u{1161}-\u{1175}\u{11A8}-\u{11C2}\
                     가-각\u{915}-\u{929}\u{93C}漢й“\u{F900}\u{1F600}]{0,16}";
        prop_oneof![class, ".{0,24}"]
    }

    proptest! {
        #[test]
        fn every_text_comes_out_in_nfc(text in marked()) {
            prop_assert_eq!(composed(&text), text.nfc().collect::<String>());
        }
    }

    #[test]
    fn each_character_with_a_stand_in_is_a_starter_that_nfc_leaves_alone() {
        for c in ('\0'..=char::MAX).filter(|&c| stand_in(c) != c) {
            assert_eq!(is_nfc_quick([c].into_iter()), IsNormalized::Yes, "{c:?}");
            assert_eq!(canonical_combining_class(c), 0, "{c:?}");
        }
    }

    #[test]
    fn compatibility_case_and_white_space_are_kept() {
        for text in ["ﬁ", "①", "Ａ", "K", " a\u{A0}\t\r\n b ", "É"] {
            assert_eq!(composed(text), text);
        }
    }
}
