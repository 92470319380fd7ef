//! "France's capital" said as "capital of France".

use super::{
    lexicon::Role,
    reading::{Kind, Token},
};

/// Words of an owner, or of what is owned, beyond which no more are looked at.
const FEW: usize = 8;

/// Puts each owner behind what is owned. An "'s" before nothing that can be owned is "is".
pub(super) fn resolve(tokens: &mut [Token]) {
    for mark in 0..tokens.len() {
        if tokens[mark].kind == Kind::Known(Role::Empty) && tokens[mark].text == "'s" {
            let owner = mark - owner_length(&tokens[mark.saturating_sub(FEW)..mark]);
            let owned = tokens[mark + 1..].iter().take(FEW).take_while(|token| is_noun(token)).count();
            turn(&mut tokens[owner..=mark + owned], mark - owner);
        }
    }
}

/// Makes "owned of owner" of `tokens`, which are the owner, the mark and the owned.
fn turn(tokens: &mut [Token], owner: usize) {
    let owned = tokens.len() - owner - 1;
    if owner == 0 || owned == 0 {
        return tokens[owner].text.clear();
    }
    tokens[owner] = Token { kind: Kind::Known(Role::Place), text: "of".to_owned() };
    tokens.rotate_left(owner + 1);
    tokens[owned..].rotate_right(1);
}

/// An owner is one word, or several names.
fn owner_length(before: &[Token]) -> usize {
    let names = before.iter().rev().take_while(|token| token.kind == Kind::Name).count();
    names.max(usize::from(before.last().is_some_and(is_noun)))
}

fn is_noun(token: &Token) -> bool {
    matches!(token.kind, Kind::Name | Kind::Other | Kind::Known(Role::Word))
}

#[cfg(test)]
mod tests {
    use super::super::reading::Reading;

    fn read(text: &str) -> String {
        let tokens = Reading::of(text).tokens;
        tokens
            .iter()
            .filter(|token| token.counts())
            .map(|token| token.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn owner_follows_what_is_owned() {
        assert_eq!(read("what about New York's old port in winter"), "about old port of new york in winter");
        assert_eq!(read("paint my neighbour's fence"), "paint fence of neighbour");
    }

    #[test]
    fn mark_that_owns_nothing_is_a_verb() {
        assert_eq!(read("what's that"), "");
        assert_eq!(read("the soup's"), "soup");
    }
}
