//! What a question says, as far as the guards can tell.

use super::{
    lexer::{Lexeme, Piece, lex},
    lexicon::{LANGUAGES, LEXICON, Languages, Role},
    number, possession,
};

/// What a token is to the guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Known by the lexicon, in its own or another spelling.
    Known(Role),
    /// Not in the lexicon.
    Other,
    /// Capitalised, where a capital tells something.
    Name,
    Literal,
    /// Between phrases.
    Break,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl Token {
    /// Whether another question has to have it too.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.kind, Kind::Break | Kind::Known(Role::Empty | Role::Verb))
    }
}

#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) tokens: Vec<Token>,
    /// "i", "me", "my", "you", "your", in order.
    pub(super) persons: Vec<&'static str>,
    /// Whether a negation is contracted ("isn't"), so that it may stand before the word it would follow.
    pub(super) contracted: bool,
    /// Every word as it stands, should nothing of it count.
    pub(super) plain: Vec<String>,
    votes: [u16; LANGUAGES.len()],
}

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        let lexemes = lex(text);
        let mut reading = Self { tokens: Vec::with_capacity(lexemes.len()), ..Self::default() };
        let names_tell = capitals_tell(&lexemes);
        let mut at = 0;
        while at < lexemes.len() {
            let name = names_tell && is_name(&lexemes, at);
            at += reading.take(&lexemes, at, name);
        }
        reading.tokens = number::compose(&reading.tokens);
        possession::resolve(&mut reading.tokens);
        if !reading.tokens.iter().any(Token::counts) {
            let words = lexemes.into_iter().filter(|lexeme| !matches!(lexeme.piece, Piece::Break { .. }));
            reading.plain = words.map(|word| word.text).collect();
        }
        reading
    }

    /// The texts of all tokens of `kind`.
    pub(super) fn texts(&self, wanted: Kind) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter(move |token| token.kind == wanted).map(|token| token.text.as_str())
    }

    /// The languages most of the empty words belong to; none if there are no such words.
    pub(super) fn languages(&self) -> Languages {
        let most = self.votes.iter().copied().max().filter(|votes| *votes > 0);
        let bits = self.votes.iter().enumerate().filter(|(_, votes)| Some(**votes) == most);
        bits.map(|(at, _)| 1 << at).sum()
    }

    /// "i", "me" and "you", in order.
    pub(super) fn pronouns(&self) -> impl Iterator<Item = &'static str> {
        self.persons.iter().copied().filter(|person| !matches!(*person, "my" | "your"))
    }

    /// Reads the lexeme at `at`, or the phrase that begins there; returns how many lexemes that were.
    fn take(&mut self, lexemes: &[Lexeme], at: usize, name: bool) -> usize {
        let Lexeme { piece, text, shouted, .. } = &lexemes[at];
        match piece {
            Piece::Literal => return self.push(Kind::Literal, literal(text)),
            Piece::Number => return self.push(Kind::Known(Role::Number), text.clone()),
            Piece::Break { .. } => return self.push(Kind::Break, String::new()),
            Piece::Word | Piece::Symbol => {}
        }
        let Some(((role, canonical), length)) = LEXICON.meaning(&words(&lexemes[at..])) else {
            return self.push(if name { Kind::Name } else { Kind::Other }, text.clone());
        };
        let after = &lexemes[at + length..];
        match role {
            Role::Word if name && length == 1 => return self.push(Kind::Name, text.clone()),
            Role::Empty | Role::Verb | Role::Question if name && *shouted => {
                return self.push(Kind::Name, text.clone());
            }
            // "What does it do" asks for more than "What is it".
            Role::Verb if text == "do" && ends(after) => return self.push(Kind::Other, text.clone()),
            Role::Courtesy | Role::Empty | Role::Verb if is_spoken_of(role, &lexemes[..at], after) => {
                return self.push(Kind::Other, text.clone());
            }
            Role::Courtesy => self.push(Kind::Known(Role::Empty), String::new()),
            Role::Empty if text == "'s" => self.push(Kind::Known(role), text.clone()),
            Role::Empty if length == 1 => {
                let pronoun = LEXICON.person(text).filter(|person| matches!(*person, "i" | "me" | "you"));
                self.push(Kind::Known(role), pronoun.unwrap_or_default().to_owned())
            }
            _ => self.push(Kind::Known(role), canonical.to_owned()),
        };
        if length == 1 {
            self.hear(text);
        }
        length
    }

    fn push(&mut self, kind: Kind, text: String) -> usize {
        self.tokens.push(Token { kind, text });
        1
    }

    /// Notes what a single word tells of the speaker. In a phrase ("can you tell me") it tells nothing.
    fn hear(&mut self, word: &str) {
        self.persons.extend(LEXICON.person(word));
        self.contracted |= word == "n't";
        let languages = LEXICON.languages(word);
        for (at, votes) in self.votes.iter_mut().enumerate() {
            *votes = votes.saturating_add(u16::from(languages >> at & 1));
        }
    }
}

fn words(lexemes: &[Lexeme]) -> impl Iterator<Item = &str> + Clone {
    lexemes.iter().map(|lexeme| lexeme.text.as_str())
}

fn ends(after: &[Lexeme]) -> bool {
    after.iter().all(|lexeme| matches!(lexeme.piece, Piece::Break { .. }))
}

/// Whether a word that would carry nothing is what the question is about: "say please", "please in Polish",
/// "this and that".
fn is_spoken_of(role: Role, before: &[Lexeme], after: &[Lexeme]) -> bool {
    let role_of = |lexemes: &[Lexeme]| LEXICON.meaning(&words(lexemes)).map(|((role, _), _)| role);
    let last = &before[before.len().saturating_sub(1)..];
    let said = last.iter().any(|lexeme| LEXICON.is_saying(&lexeme.text));
    match role_of(after) {
        Some(Role::Joiner) => true,
        Some(Role::Place) if role == Role::Courtesy => true,
        _ => said || (role_of(last) == Some(Role::Joiner) && ends(after)),
    }
}

/// Names of hosts and files are the same in any case; what has other signs may not be.
fn literal(text: &str) -> String {
    match text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-')) && text.contains('.') {
        true => text.to_lowercase(),
        false => text.to_owned(),
    }
}

/// Whether capitals tell names from words: not where every word has one, or none has.
fn capitals_tell(lexemes: &[Lexeme]) -> bool {
    let words = || lexemes.iter().filter(|lexeme| lexeme.piece == Piece::Word && lexeme.text.len() > 1);
    let plain = words().filter(|lexeme| !lexeme.capital).count();
    2 * plain >= words().count()
}

fn is_name(lexemes: &[Lexeme], at: usize) -> bool {
    let starts = at == 0 || lexemes[at - 1].piece == Piece::Break { ends: true };
    let Lexeme { piece, text, capital, shouted } = &lexemes[at];
    *piece == Piece::Word && *capital && text.chars().count() > 1 && (!starts || *shouted)
}
