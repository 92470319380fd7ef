//! What tells a task without words: digits, code, the shape of a request.

/// How strongly `text` looks like a sum to be worked out: an operator between two digits.
pub(super) fn sum(text: &str) -> u32 {
    if !has_digits(text) {
        return 0;
    }
    let chars: Vec<char> = text.chars().collect();
    if (0..chars.len()).any(|at| is_operator(&chars, at)) { 4 } else { 0 }
}

fn has_digits(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_operator(chars: &[char], at: usize) -> bool {
    let (before, after) = (&chars[..at], &chars[at + 1..]);
    let left = before.iter().rev().position(|c| *c != ' ');
    let right = after.iter().position(|c| *c != ' ');
    let (Some(left), Some(right)) = (left, right) else { return false };
    let digits = before[at - 1 - left].is_ascii_digit() && after[right].is_ascii_digit();
    digits
        && match chars[at] {
            '+' | '*' | '×' | '÷' | '^' => true,
            // Without spaces these are dates, ranges and versions more often than not.
            '/' | '-' | '−' => left > 0 && right > 0,
            _ => false,
        }
}

/// How strongly `text` looks like a sum told in words: a question with two or more numbers that are no years.
pub(super) fn numbers(text: &str) -> u32 {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| (1..4).contains(&digits.len()));
    if has_digits(text) && asks(text) && numbers.count() >= 2 { 4 } else { 0 }
}

/// Whether `text` ends with a question mark.
pub(super) fn asks(text: &str) -> bool {
    text.trim_end_matches([' ', '\n', '"', '»', '”', ')']).ends_with(['?', '?'])
}

/// Pieces that programs have and prose has not.
const SYNTAX: [&str; 16] = [
    "();", ") {", "){", "};", "=>", "->", "::", "</", "/>", "==", "!=", "+=", "&&", "def ", "#include",
    "return ",
];

/// How strongly `text` looks like a program; nothing where it has only one of the pieces.
pub(super) fn syntax(text: &str) -> u32 {
    let kinds = SYNTAX.iter().filter(|piece| text.contains(**piece)).count();
    match kinds {
        0 | 1 => 0,
        2 => 3,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_count_between_digits_and_dates_do_not() {
        for text in ["17 * 23", "2+2", "144 / 12", "7×8", "12 - 5 ="] {
            assert_eq!(sum(text), 4, "{text}");
        }
        for text in ["open 24/7", "2026-07-02", "10+ years", "c++ 11", "version 1.2-3", "+", "5 /", ""] {
            assert_eq!(sum(text), 0, "{text}");
        }
    }

    #[test]
    fn numbers_in_a_question_are_a_sum_unless_they_are_years() {
        assert_eq!(numbers("3 friends pay 87.60, how much each?"), 4);
        assert_eq!(numbers("Who ruled from 1740 to 1786?"), 0);
        assert_eq!(numbers("Pages 3 and 4."), 0);
    }

    #[test]
    fn syntax_takes_more_than_one_piece() {
        assert_eq!(syntax("from here -> there"), 0);
        assert!(syntax("fn main() { println!(); }\nlet a = std::env::args();") > 0);
    }
}
