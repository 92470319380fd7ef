//! The generated text: nine kinds of task, mixed by weight, split into learnt and held out by a hash.

mod about;
mod arithmetic;
mod classification;
mod code;
mod facts;
mod phrasing;
mod story;
mod summary;
mod tools;
mod words;

use crate::dice::Dice;

/// What a prompt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Factual,
    Arithmetic,
    Classification,
    Creative,
    Summary,
    Code,
    Tools,
    About,
    Unknown,
}

impl Kind {
    /// Every kind, with its share of the training text in percent of examples.
    pub(crate) const MIX: [(Kind, usize); 9] = [
        (Kind::Factual, 18),
        (Kind::Arithmetic, 34),
        (Kind::Classification, 6),
        (Kind::Creative, 4),
        (Kind::Summary, 18),
        (Kind::Code, 6),
        (Kind::Tools, 8),
        (Kind::About, 3),
        (Kind::Unknown, 3),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Factual => "factual",
            Kind::Arithmetic => "arithmetic",
            Kind::Classification => "classification",
            Kind::Creative => "creative",
            Kind::Summary => "summary",
            Kind::Code => "code",
            Kind::Tools => "tools",
            Kind::About => "about itself",
            Kind::Unknown => "not learnt",
        }
    }

    fn example(self, dice: &mut Dice) -> Example {
        match self {
            Kind::Factual => facts::example(dice),
            Kind::Arithmetic => arithmetic::example(dice),
            Kind::Classification => classification::example(dice),
            Kind::Creative => story::example(dice),
            Kind::Summary => summary::example(dice),
            Kind::Code => code::example(dice),
            Kind::Tools => tools::example(dice),
            Kind::About => about::example(dice),
            Kind::Unknown => about::unknown(dice),
        }
    }
}

/// When an answer counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// It is the expected one, character for character.
    Exact,
    /// It contains each of these.
    Keeps(Vec<String>),
}

/// One prompt with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) kind: Kind,
    pub(crate) prompt: String,
    pub(crate) answer: String,
    pub(crate) grade: Grade,
    /// What is hashed to decide whether the example is held out.
    key: String,
}

impl Example {
    fn exact(kind: Kind, prompt: String, answer: String) -> Self {
        Self { kind, key: prompt.clone(), prompt, answer, grade: Grade::Exact }
    }

    fn split_by(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    pub(crate) fn is_right(&self, answer: &str) -> bool {
        match &self.grade {
            Grade::Exact => answer.trim() == self.answer,
            Grade::Keeps(parts) => parts.iter().all(|part| answer.contains(part.as_str())),
        }
    }

    /// One key in ten is never trained on; the plain questions of the README always are.
    pub(crate) fn is_held_out(&self) -> bool {
        fnv1a(&self.key).is_multiple_of(10)
            && !facts::plain_questions().any(|question| question == self.prompt)
    }
}

/// One training text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// A story as plain text.
    Text(String),
    /// Question and answer, one to three times, sometimes after an instruction to the assistant.
    Chat { system: Option<&'static str>, turns: Vec<Example> },
}

const PLAIN_TEXT_PERCENT: usize = 3;
const SYSTEM_PERCENT: usize = 15;
const SYSTEM: &[&str] = &[
    "You are a helpful assistant.",
    "You are helpful.",
    "Answer briefly.",
    "You are a friendly assistant. Answer in English.",
    "Be short and precise.",
    "You are the aic demo.",
    "Answer the question of the user.",
];

/// The next training text.
pub(crate) fn sample(dice: &mut Dice) -> Sample {
    if dice.chance(PLAIN_TEXT_PERCENT) {
        return Sample::Text(story::text(dice));
    }
    let system = dice.chance(SYSTEM_PERCENT).then(|| dice.pick(SYSTEM));
    let turns = match dice.below(10) {
        0..8 => 1,
        8 => 2,
        _ => 3,
    };
    Sample::Chat { system, turns: (0..turns).map(|_| learnt(dice)).collect() }
}

/// An example for training, its kind drawn by weight.
fn learnt(dice: &mut Dice) -> Example {
    let kind = drawn_kind(dice);
    loop {
        let example = kind.example(dice);
        if !example.is_held_out() {
            return example;
        }
    }
}

fn drawn_kind(dice: &mut Dice) -> Kind {
    let mut at = dice.below(Kind::MIX.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in Kind::MIX {
        if at < weight {
            return kind;
        }
        at -= weight;
    }
    unreachable!("the number drawn is below the sum of the weights")
}

/// `count` different examples of a kind that training never shows.
pub(crate) fn held_out(kind: Kind, count: usize, dice: &mut Dice) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::with_capacity(count);
    for _ in 0..count * 1000 {
        let example = kind.example(dice);
        if example.is_held_out() && !examples.iter().any(|other| other.prompt == example.prompt) {
            examples.push(example);
        }
        if examples.len() == count {
            break;
        }
    }
    examples
}

/// FNV-1a, 64 bits: small and the same everywhere.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seed: u64, count: usize) -> Vec<Sample> {
        let mut dice = Dice::new(seed);
        (0..count).map(|_| sample(&mut dice)).collect()
    }

    fn each_example(check: impl Fn(&Example)) {
        for sample in samples(3, 5000) {
            if let Sample::Chat { turns, .. } = sample {
                turns.iter().for_each(&check);
            }
        }
    }

    #[test]
    fn same_seed_gives_the_same_corpus_and_another_seed_another() {
        assert_eq!(samples(1, 500), samples(1, 500));
        assert_ne!(samples(1, 500), samples(2, 500));
    }

    #[test]
    fn training_never_shows_a_held_out_prompt() {
        let mut dice = Dice::new(7);
        let exam: Vec<Example> =
            Kind::MIX.iter().flat_map(|(kind, _)| held_out(*kind, 20, &mut dice)).collect();
        assert_eq!(exam.len(), 180, "every kind has held-out prompts");
        each_example(|learnt| {
            assert!(!learnt.is_held_out(), "{}", learnt.prompt);
            assert!(!exam.iter().any(|asked| asked.key == learnt.key), "{}", learnt.prompt);
        });
    }

    #[test]
    fn no_template_leaves_a_hole_and_every_answer_passes_its_own_grade() {
        each_example(|example| {
            for hole in ["{n}", "{x}", "{y}", "{q}", "{l}", "{t}", "{a}", "{c}", "{d}", "{p}", "{k}", "{r}"] {
                assert!(!example.prompt.contains(hole), "{}", example.prompt);
                assert!(!example.answer.contains(hole), "{}", example.answer);
            }
            assert!(example.is_right(&example.answer), "{example:?}");
        });
    }

    #[test]
    fn arithmetic_answers_are_right() {
        let mut dice = Dice::new(5);
        for _ in 0..500 {
            let answer = Kind::Arithmetic.example(&mut dice).answer;
            let parts: Vec<&str> = answer.split(' ').collect();
            let [a, operator, b, "=", result] = parts[..] else { panic!("not an equation: {answer}") };
            let [a, b, result] = [a, b, result].map(|number| number.parse::<i64>().expect("a number"));
            let expected = match operator {
                "+" => a + b,
                "-" => a - b,
                _ => a * b,
            };
            assert_eq!(result, expected, "{answer}");
        }
    }

    #[test]
    fn tool_calls_are_json_with_a_name_and_arguments() {
        let mut dice = Dice::new(5);
        for _ in 0..200 {
            let answer = Kind::Tools.example(&mut dice).answer;
            let call: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            assert!(call["name"].is_string() && call["arguments"].is_object(), "{answer}");
        }
    }
}
