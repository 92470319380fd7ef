//! Ways to put the same question.

use super::words::{fill, lowered};
use crate::dice::Dice;

const FRAMES: &[&str] = &[
    "{q}",
    "{q}",
    "{q}",
    "{q}",
    "Please tell me: {l}",
    "Tell me, {l}",
    "Hello! {q}",
    "Hi, {l}",
    "Quick question: {l}",
    "I have a question. {q}",
    "{q} Please answer in one sentence.",
    "Can you help me? {q}",
    "{q} Thank you.",
    "A child asks: {q}",
    "Answer briefly: {l}",
    "Question: {q}",
    "Now tell me: {l}",
    "{q} Answer shortly.",
];
const INDIRECT: &[&str] = &[
    "Explain {i}.",
    "Can you explain {i}?",
    "Do you know {i}?",
    "I wonder {i}.",
    "Tell me {i}.",
    "Please explain {i}.",
    "Could you tell me {i}?",
    "I want to know {i}.",
    "Explain to me {i}.",
    "Please tell me {i}.",
    "Explain {i} in one sentence.",
    "Explain briefly {i}.",
];

/// A question that stands by itself, in one of many frames.
pub(super) fn asked(dice: &mut Dice, question: &str) -> String {
    let framed = fill(dice.pick(FRAMES), &[("q", question), ("l", &lowered(question))]);
    typed(dice, framed)
}

/// A question in its indirect form: "why the sky is blue".
pub(super) fn asked_indirectly(dice: &mut Dice, clause: &str) -> String {
    let framed = fill(dice.pick(INDIRECT), &[("i", clause)]);
    typed(dice, framed)
}

/// As people type: sometimes without capitals, sometimes without the last mark.
pub(super) fn typed(dice: &mut Dice, text: String) -> String {
    let text = if dice.chance(20) { text.to_lowercase() } else { text };
    if dice.chance(20) { text.trim_end_matches(['.', '?', '!']).to_owned() } else { text }
}
