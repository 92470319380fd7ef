//! Cuts a question into pieces: words, numbers, and texts that have to be taken letter for letter.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark, is_nfkc};

use super::{contraction, literal};

/// Characters among which the end of a quotation is looked for, so that stray marks cost little.
const LONGEST_QUOTATION: usize = 1000;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Word,
    Number,
    /// Quoted, code, an address, a path or an identifier.
    Literal,
    /// A sign that means something: "%", "€", "+".
    Symbol,
    /// Punctuation between parts of a sentence, or (if `ends`) between sentences.
    Break {
        ends: bool,
    },
}

/// A piece and how it was written.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) piece: Piece,
    /// In lower case, but for literals.
    pub(super) text: String,
    /// Begins with a capital.
    pub(super) capital: bool,
    /// All capitals, at least two.
    pub(super) shouted: bool,
}

/// The pieces of `text` in order.
pub(super) fn lex(text: &str) -> Vec<Lexeme> {
    let text: Cow<'_, str> = match is_nfkc(text) {
        true => text.into(),
        false => text.nfkc().collect::<String>().into(),
    };
    let mut lexer = Lexer { chars: text.chars().map(plain).collect(), at: 0, found: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.found
}

/// One of the ways to write the same sign or digit.
fn plain(character: char) -> char {
    match character {
        '’' | '‘' | 'ʼ' | '´' | '＇' => '\'',
        '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』' => '"',
        '–' | '—' | '−' | '‑' | '‐' => '-',
        _ => digit(character).unwrap_or(character),
    }
}

/// The ASCII digit for one of another script: their blocks hold ten each, from these zeros on.
fn digit(character: char) -> Option<char> {
    const ZEROS: [u32; 16] = [
        0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66,
        0x0e50, 0x0ed0, 0x0f20, 0x1040,
    ];
    let code = u32::from(character);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    found: Vec<Lexeme>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn previous(&self) -> Option<char> {
        self.at.checked_sub(1).map(|at| self.chars[at])
    }

    fn step(&mut self) {
        let character = self.chars[self.at];
        if character.is_whitespace() {
            self.at += 1;
        } else if let Some(end) = self.quoted(character) {
            let inner = self.chars[self.at + 1..end].iter().collect::<String>();
            self.push(Piece::Literal, &inner.split_whitespace().collect::<Vec<_>>().join(" "), end + 1);
        } else if let Some(end) = self.literal() {
            let literal: String = self.chars[self.at..end].iter().collect();
            self.push(Piece::Literal, &literal, end);
        } else if character.is_ascii_digit() || self.is_sign(character) {
            self.number();
        } else if is_ideograph(character) {
            self.push(Piece::Word, &character.to_string(), self.at + 1);
        } else if in_word(character) {
            self.word();
        } else {
            self.sign(character);
        }
    }

    fn push(&mut self, piece: Piece, text: &str, end: usize) {
        let capital = text.starts_with(char::is_uppercase);
        let shouted =
            text.chars().filter(|c| c.is_uppercase()).count() > 1 && !text.chars().any(char::is_lowercase);
        let text = if piece == Piece::Literal { text.to_owned() } else { text.to_lowercase() };
        self.found.push(Lexeme { piece, text, capital, shouted });
        self.at = end;
    }

    /// The closing mark of a quotation or of code that begins here.
    fn quoted(&self, mark: char) -> Option<usize> {
        let opens = match mark {
            '"' | '`' => true,
            '\'' => self.previous().is_none_or(|c| !in_word(c)),
            _ => false,
        };
        let closes = |at: &usize| {
            self.chars[*at] == mark && (mark != '\'' || self.chars.get(at + 1).is_none_or(|c| !in_word(*c)))
        };
        let from = self.at + 1;
        let end =
            opens.then(|| (from..self.chars.len().min(from + LONGEST_QUOTATION)).find(closes)).flatten()?;
        (end > from).then_some(end)
    }

    /// The end of an address, a path or an identifier that begins here.
    fn literal(&self) -> Option<usize> {
        let free = |at: usize| at == 0 || self.chars[at - 1].is_whitespace();
        let opened = || "([{".contains(self.chars[self.at - 1]) && free(self.at - 1);
        if !free(self.at) && !opened() {
            return None;
        }
        let rest = &self.chars[self.at..];
        let length = rest.iter().position(|c| c.is_whitespace()).unwrap_or(rest.len());
        let trimmed = rest[..length].iter().rposition(|c| !".,;:!?)]}\"'…".contains(*c))? + 1;
        let called = rest[trimmed - 1] == '(' && trimmed < length; // the ")" of "main()" belongs to it
        let trimmed = trimmed + usize::from(called);
        literal::is_literal(&rest[..trimmed]).then_some(self.at + trimmed)
    }

    /// Whether a minus belongs to the number behind it.
    fn is_sign(&self, character: char) -> bool {
        let alone = self.previous().is_none_or(|c| c.is_whitespace() || c == '(');
        character == '-' && alone && self.peek(1).is_some_and(|c| c.is_ascii_digit())
    }

    fn number(&mut self) {
        let mut end = self.at + 1;
        while let Some(&character) = self.chars.get(end) {
            let joins =
                ".,:/-".contains(character) && self.chars.get(end + 1).is_some_and(char::is_ascii_digit);
            if !character.is_ascii_digit() && !joins {
                break;
            }
            end += 1;
        }
        let mut number = decimal(&self.chars[self.at..end]);
        let suffix: String = self.chars[end..].iter().take(3).collect::<String>().to_lowercase();
        let ordinal =
            ["st", "nd", "rd", "th"].into_iter().find(|s| suffix.trim_end_matches(|c| !in_word(c)) == *s);
        if let Some(ordinal) = ordinal {
            number.push_str(ordinal);
            end += 2;
        }
        self.push(Piece::Number, &number, end);
    }

    /// A word and what is contracted with it.
    fn word(&mut self) {
        let mut end = self.at + 1;
        while let Some(&character) = self.chars.get(end) {
            let inner =
                matches!(character, '\'' | '.') && self.chars.get(end + 1).copied().is_some_and(in_word);
            let initial = end == self.at + 1 || self.chars[end - 2] == '.';
            let joins = (character == '\'' && inner) || (character == '.' && inner && initial);
            if is_ideograph(character) || (!in_word(character) && !joins && !self.is_prefix(character, end)) {
                break;
            }
            end += 1;
        }
        let word: String = self.chars[self.at..end].iter().filter(|c| !matches!(c, '.' | '-')).collect();
        match contraction::split(&word) {
            Some((first, second)) => {
                self.push(Piece::Word, &first, self.at);
                self.push(Piece::Word, &second, end);
            }
            None => self.push(Piece::Word, &word, end),
        }
    }

    /// Whether a hyphen joins one letter to a word: "e-mail", "x-ray".
    fn is_prefix(&self, character: char, at: usize) -> bool {
        let letter = |at: usize| self.chars.get(at).is_some_and(|c| c.is_alphabetic());
        character == '-' && at == self.at + 1 && letter(at + 1) && letter(at + 2)
    }

    fn sign(&mut self, character: char) {
        let digit_before =
            self.chars[..self.at].iter().rev().find(|c| !c.is_whitespace()).is_some_and(char::is_ascii_digit);
        let piece = match character {
            '.' | '?' | '!' | '。' | '؟' if character != '!' || !digit_before => {
                Piece::Break { ends: true }
            }
            ',' | ';' | ':' | '(' | ')' | '[' | ']' | '{' | '}' | '、' => Piece::Break { ends: false },
            '*' | '-' | '/' | '!' if digit_before => Piece::Symbol,
            '*' | '-' | '/' | '\'' | '"' | '`' | '¿' | '¡' | '_' | '~' | '|' => return self.at += 1,
            '\u{200b}'..='\u{200f}' | '\u{fe0f}' | '\u{feff}' => return self.at += 1,
            _ => Piece::Symbol,
        };
        self.push(piece, &character.to_string(), self.at + 1);
    }
}

pub(super) fn in_word(character: char) -> bool {
    character.is_alphanumeric() || is_combining_mark(character)
}

/// Characters of scripts written without spaces, each of which is taken as a word.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Without separators of thousands, and with a point for the decimal comma.
fn decimal(digits: &[char]) -> String {
    let text: String = digits.iter().collect();
    let mut groups = text.split(',');
    let first = groups.next().unwrap_or_default();
    let thousands = !text.contains(['/', ':']) && (1..=3).contains(&first.trim_start_matches('-').len());
    let three = |group: &str| group.split('.').next().is_some_and(|whole| whole.len() == 3);
    match text.matches(',').count() {
        0 => text,
        _ if thousands && groups.all(three) => text.replace(',', ""),
        1 => text.replace(',', "."),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        lex(text).into_iter().map(|lexeme| lexeme.text).collect()
    }

    #[test]
    fn contractions_fall_apart_whatever_the_apostrophe() {
        assert_eq!(texts("Don’t won't cannot"), ["do", "n't", "will", "n't", "can", "n't"]);
        assert_eq!(texts("What's l'Italie"), ["what", "'s", "l'", "italie"]);
        assert_eq!(
            texts("o'clock e-mail U.S. twenty-five"),
            ["o'clock", "email", "us", ".", "twenty", "five"]
        );
    }

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(
            texts("1,000 1,5 5km ٣ 3rd -4 10-20"),
            ["1000", "1.5", "5", "km", "3", "3rd", "-4", "10-20"]
        );
        assert_eq!(texts("2 - 2 2+2"), ["2", "-", "2", "2", "+", "2"]);
    }

    #[test]
    fn addresses_paths_code_and_quotations_are_taken_letter_for_letter() {
        for literal in [
            "https://a.example/B?c=1",
            "a@b.example",
            "/usr/bin",
            "C:\\x",
            "foo_Bar",
            "a::b",
            "--flag",
            "Node.js",
            "main()",
        ] {
            let found = lex(&format!("see {literal}, please"));
            assert_eq!((found[1].piece, found[1].text.as_str()), (Piece::Literal, literal));
        }
        for quoted in ["\"Not  This\"", "`Not This`", "'Not This'", "“Not This”"] {
            assert_eq!(texts(&format!("say {quoted} again")), ["say", "Not This", "again"]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_panic_and_to_the_end(text in "\\PC{0,60}") {
            prop_assert!(lex(&text).len() <= 2 * text.chars().flat_map(|c| c.to_string().nfkc().collect::<Vec<_>>()).count());
        }
    }
}
