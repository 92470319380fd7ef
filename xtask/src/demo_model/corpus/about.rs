//! What the model says of itself, and to what it has not learnt.

use super::{
    Example, Kind,
    phrasing::{asked, typed},
    words::{self, NUMBERS, THINGS, fill},
};
use crate::dice::Dice;

const IDENTITY: &str = "I am the aic demo, a very small language model trained on generated text. Any GGUF file can take my place with --model.";
const ABILITIES: &str = "I can answer simple questions, calculate with small numbers, classify short texts, summarize, and write short stories, small functions and tool calls.";
const GREETING: &str =
    "Hello! I am a small demonstration model. Ask me why the sky is blue, or for a short story.";
const WELCOME: &str = "You are welcome.";
const UNKNOWN: &str = "I am only a small demonstration model and have not learned that. Ask me for a simple fact, a small sum or a short story, or load another model with --model.";

const IDENTITY_QUESTIONS: &[&str] = &[
    "Who are you?",
    "What are you?",
    "What is your name?",
    "Who made you?",
    "Are you a person?",
    "Which model are you?",
    "What model is this?",
    "Tell me about yourself.",
    "Introduce yourself.",
    "Are you ChatGPT?",
    "Who am I talking to?",
    "How were you trained?",
    "How big are you?",
    "Can I use another model?",
    "How do I use a better model?",
];
const ABILITY_QUESTIONS: &[&str] = &[
    "What can you do?",
    "What do you know?",
    "How can you help me?",
    "What are you good at?",
    "What can I ask you?",
    "Which questions can you answer?",
    "List your abilities.",
    "Help",
    "What should I ask you?",
];
const GREETINGS: &[&str] = &[
    "Hello",
    "Hi",
    "Hello!",
    "Hi there!",
    "Good morning!",
    "Good evening.",
    "Hey",
    "Hello, how are you?",
    "How are you?",
    "Hi, are you there?",
    "Nice to meet you.",
    "Test",
    "Say hello.",
    "Say hi!",
];
const THANKS: &[&str] =
    &["Thanks", "Thank you!", "Thank you very much.", "Thanks a lot!", "Great, thank you.", "Well done!"];

const STRANGE: &[&str] = &[
    "What is {x}?",
    "Who is {P}?",
    "Who is {P} {X}?",
    "Where is {X}?",
    "What is the capital of {X}?",
    "How do I fix my {o}?",
    "Who won the {v} cup in {y}?",
    "What is the best {o}?",
    "Translate {o} to {g}.",
    "What do you think about {s}?",
    "Explain {s}.",
    "What is {s}?",
    "How does {s} work?",
    "Can you explain {s} to me?",
    "When was {P} {X} born?",
    "Why is my {o} {j}?",
    "Why is the {o} {j}?",
    "How do I learn {s}?",
    "Write a poem about {s}.",
    "What is the price of a {o}?",
    "How old is {P}?",
    "What happened in {y}?",
    "Tell me a joke about {s}.",
    "Give me advice about {s}.",
    "Compare {s} and {z}.",
    "What is the history of {s}?",
    "How many {t} are in {X}?",
    "Who invented the {o}?",
    "Who wrote {X}?",
    "What does {x} mean?",
    "Is {s} better than {z}?",
    "Should I buy a {o}?",
    "How do I cook {x}?",
    "Where can I buy a {o}?",
    "What are the rules of {v}?",
    "Write an essay about {s}.",
    "What is the population of {X}?",
    "Define {x}.",
    "Why do {t} {x}?",
    "How do I get to {X}?",
    "Make a list of {k} {t}.",
    "What is the difference between {s} and {z}?",
    "Can you recommend a {o}?",
    "Do you like {s}?",
    "Who was the first {x}?",
    "What is the meaning of {s}?",
];
const OBJECTS: &[&str] = &[
    "bicycle",
    "computer",
    "printer",
    "laptop",
    "washing machine",
    "fridge",
    "camera",
    "radio",
    "telephone",
    "guitar",
    "boat",
    "house",
    "watch",
    "window",
    "engine",
    "keyboard",
    "television",
    "microscope",
    "toaster",
    "plane",
    "mattress",
    "rocket",
];
const SUBJECTS: &[&str] = &[
    "quantum computing",
    "politics",
    "history",
    "philosophy",
    "economics",
    "love",
    "life",
    "mathematics",
    "chemistry",
    "the stock market",
    "medicine",
    "relativity",
    "democracy",
    "evolution",
    "bitcoin",
    "inflation",
    "psychology",
    "art",
    "machine learning",
    "neural networks",
    "the weather",
    "biology",
    "the universe",
    "religion",
    "football",
    "chess",
    "literature",
    "black holes",
    "electricity",
    "the internet",
    "blockchain",
    "war",
    "poetry",
    "astronomy",
    "happiness",
    "Kubernetes",
    "Docker",
    "Linux",
    "databases",
    "Python",
    "JavaScript",
    "HTTP",
    "encryption",
    "recursion",
    "compilers",
];
const SPORTS: &[&str] =
    &["football", "tennis", "chess", "hockey", "rugby", "basketball", "golf", "cricket", "handball"];
const LANGUAGES: &[&str] =
    &["French", "German", "Spanish", "Italian", "Latin", "Japanese", "Greek", "Turkish"];
const STATES: &[&str] = &[
    "broken",
    "slow",
    "noisy",
    "expensive",
    "red",
    "blue",
    "round",
    "hot",
    "cold",
    "heavy",
    "wet",
    "so loud",
    "dirty",
];

/// Questions about the model itself, greetings and thanks.
pub(super) fn example(dice: &mut Dice) -> Example {
    let (questions, answer) = match dice.below(10) {
        0..4 => (IDENTITY_QUESTIONS, IDENTITY),
        4..7 => (ABILITY_QUESTIONS, ABILITIES),
        7..9 => (GREETINGS, GREETING),
        _ => (THANKS, WELCOME),
    };
    let question = dice.pick(questions);
    let prompt = if answer == IDENTITY || answer == ABILITIES {
        asked(dice, question)
    } else {
        typed(dice, question.to_owned())
    };
    Example::exact(Kind::About, prompt, answer.to_owned())
}

/// Questions outside of everything taught: the honest answer is the same for all.
pub(super) fn unknown(dice: &mut Dice) -> Example {
    let (word, title, person) =
        (words::invented(dice), words::capitalized(&words::invented(dice)), words::name(dice));
    let year = (1800 + dice.below(230)).to_string();
    let question = fill(
        dice.pick(STRANGE),
        &[
            ("x", &word),
            ("X", &title),
            ("P", &person),
            ("o", dice.pick(OBJECTS)),
            ("s", dice.pick(SUBJECTS)),
            ("z", dice.pick(SUBJECTS)),
            ("v", dice.pick(SPORTS)),
            ("g", dice.pick(LANGUAGES)),
            ("j", dice.pick(STATES)),
            ("y", &year),
            ("t", dice.pick(THINGS)),
            ("k", dice.pick(NUMBERS)),
        ],
    );
    Example::exact(Kind::Unknown, asked(dice, &question), UNKNOWN.to_owned())
}
