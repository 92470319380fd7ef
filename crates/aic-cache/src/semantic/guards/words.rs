//! Words that one question has and the other has not.

use super::{
    Conflict,
    lexicon::{LEXICON, Role},
    reading::{Kind, Reading, Token},
    spelling,
};

/// More words than this without a counterpart are not looked at one by one.
const FEW: usize = 8;

/// Pairs the words of both questions; where two are spellings of one, the second is rewritten as the first.
pub(super) fn conflict(a: &Reading, b: &mut Reading) -> Option<Conflict> {
    let (mut alone_a, mut alone_b) = unpaired(&a.tokens, &b.tokens);
    if alone_a.len() <= FEW && alone_b.len() <= FEW {
        alone_a.retain(|&at| {
            let token = &a.tokens[at];
            let counterpart = alone_b.iter().position(|&other| is_same(token, &b.tokens[other]));
            if let Some(position) = counterpart {
                b.tokens[alone_b.swap_remove(position)] = token.clone();
            }
            counterpart.is_none()
        });
    }
    let tokens_a: Vec<&Token> = alone_a.into_iter().map(|at| &a.tokens[at]).collect();
    let tokens_b: Vec<&Token> = alone_b.into_iter().map(|at| &b.tokens[at]).collect();
    reason(&tokens_a, &tokens_b)
}

/// Positions of the tokens that the other side lacks, each counted as often as it occurs.
fn unpaired(a: &[Token], b: &[Token]) -> (Vec<usize>, Vec<usize>) {
    let sorted = |tokens: &[Token]| {
        let mut order: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].counts()).collect();
        order.sort_by(|x, y| tokens[*x].text.cmp(&tokens[*y].text));
        order
    };
    let (order_a, order_b) = (sorted(a), sorted(b));
    let (mut alone_a, mut alone_b) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while let (Some(&x), Some(&y)) = (order_a.get(i), order_b.get(j)) {
        let order = a[x].text.cmp(&b[y].text);
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
        match order {
            std::cmp::Ordering::Less => alone_a.push(x),
            std::cmp::Ordering::Greater => alone_b.push(y),
            std::cmp::Ordering::Equal => {}
        }
    }
    alone_a.extend(&order_a[i..]);
    alone_b.extend(&order_b[j..]);
    (alone_a, alone_b)
}

/// Names have no forms, and a name misspelt may be another name.
fn is_same(a: &Token, b: &Token) -> bool {
    let is_word = |token: &Token| matches!(token.kind, Kind::Other | Kind::Known(Role::Word));
    is_word(a) && is_word(b) && spelling::is_same_word(&a.text, &b.text)
}

fn reason(a: &[&Token], b: &[&Token]) -> Option<Conflict> {
    let any = |kind| a.iter().chain(b).any(|token| token.kind == kind);
    let opposite = || a.iter().any(|a| b.iter().any(|b| LEXICON.are_opposites(&a.text, &b.text)));
    match () {
        () if a.is_empty() && b.is_empty() => None,
        () if any(Kind::Known(Role::Calendar)) => Some(Conflict::Date),
        () if opposite() => Some(Conflict::Antonym),
        () if any(Kind::Name) => Some(Conflict::Name),
        () => Some(Conflict::Word),
    }
}
