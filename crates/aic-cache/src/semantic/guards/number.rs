//! Numbers written in words.

use super::{
    lexicon::Role,
    reading::{Kind, Token},
};

const NUMBER: Kind = Kind::Known(Role::Number);

/// Makes one number of several that stand together as words: "two hundred and five" is 205, "5 million" is
/// 5000000. A currency comes to stand behind its number.
pub(super) fn compose(tokens: &[Token]) -> Vec<Token> {
    let mut composed = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some((first, others)) = rest.split_first() {
        match longest(rest) {
            (Some(value), length) if length > 1 => {
                composed.push(Token { kind: NUMBER, text: value.to_string() });
                rest = &rest[length..];
            }
            _ => {
                composed.push(first.clone());
                rest = others;
            }
        }
    }
    for at in 1..composed.len() {
        if composed[at].kind == NUMBER && is_currency(&composed[at - 1]) {
            composed.swap(at - 1, at);
        }
    }
    composed
}

/// Signs that stand before a number but are read behind it.
fn is_currency(token: &Token) -> bool {
    matches!(token.text.as_str(), "$" | "€" | "£" | "¥")
}

/// The value of the number words that `tokens` begin with, and how many they are.
fn longest(tokens: &[Token]) -> (Option<u128>, usize) {
    let (mut total, mut group, mut least, mut length) = (0u128, None::<u128>, u128::MAX, 0);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let joins = length > 0 && token.kind == Kind::Known(Role::Joiner) && token.text == "and";
        let token = if joins { tokens.get(at + 1) } else { Some(token) };
        let Some(value) = token.and_then(whole) else { break };
        match group {
            // Two numbers in a row, as in "from 5 5": not one number.
            Some(_) if !is_unit(value) && !fits(least, value) => break,
            _ if is_unit(value) && value == 100 => group = Some(group.unwrap_or(1).saturating_mul(100)),
            _ if is_unit(value) => {
                total = total.saturating_add(group.take().unwrap_or(1).saturating_mul(value));
                group = Some(0);
            }
            _ => group = Some(group.unwrap_or(0).saturating_add(value)),
        }
        least = value;
        at += 1 + usize::from(joins);
        length = at;
    }
    (group.map(|group| total.saturating_add(group)), length)
}

fn whole(token: &Token) -> Option<u128> {
    (token.kind == NUMBER).then(|| token.text.parse().ok()).flatten()
}

fn is_unit(value: u128) -> bool {
    matches!(value, 100 | 1_000 | 1_000_000 | 1_000_000_000 | 1_000_000_000_000)
}

/// Whether `next` may follow within a number: "twenty" and "five", "hundred" and "twelve".
fn fits(last: u128, next: u128) -> bool {
    matches!(last, 20 | 30 | 40 | 50 | 60 | 70 | 80 | 90) && next < 10 || is_unit(last) && next < last
}

#[cfg(test)]
mod tests {
    use super::super::reading::Reading;
    use super::*;

    fn numbers(text: &str) -> Vec<String> {
        Reading::of(text).texts(NUMBER).map(str::to_owned).collect()
    }

    #[test]
    fn words_and_digits_give_the_same_number() {
        assert_eq!(numbers("two hundred and five"), ["205"]);
        assert_eq!(numbers("twenty-five and 25"), ["25", "25"]);
        assert_eq!(numbers("three thousand four hundred twelve"), ["3412"]);
        assert_eq!(numbers("5 million, one hundred thousand"), ["5000000", "100000"]);
        assert_eq!(numbers("treinta y cinco"), ["35"]);
        assert_eq!(Reading::of("$5 million").tokens, Reading::of("five million dollars").tokens);
    }

    #[test]
    fn numbers_that_only_stand_together_stay_apart() {
        assert_eq!(numbers("5 5 7"), ["5", "5", "7"]);
        assert_eq!(numbers("two and three"), ["2", "3"]);
    }

    #[test]
    fn number_too_large_for_words_stays_as_it_is() {
        let long = "9".repeat(60);
        assert_eq!(numbers(&format!("{long} trillion trillion trillion trillion")).len(), 2);
    }
}
