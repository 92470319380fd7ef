//! Questions as a cache sees them: many that differ in a word, a politeness or a slip of the finger.

use std::collections::HashSet;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

const OPENERS: [&str; 12] = [
    "",
    "",
    "",
    "",
    "Please tell me ",
    "Hi, ",
    "Quick question: ",
    "Can you help? ",
    "I was wondering, ",
    "Hello! ",
    "Could you explain, ",
    "Hey, ",
];
const FORMS: [&str; 20] = [
    "how do I {do} my {thing} {when}?",
    "what is the best way to {do} a {thing} in {place}?",
    "why does my {thing} keep {fault} {when}?",
    "can I {do} the {thing} without {other}?",
    "how much does it cost to {do} a {thing} in {place}?",
    "is it safe to {do} a {thing} {when}?",
    "where can I find a {thing} for {who} in {place}?",
    "what happens if I {do} the {thing} {when}?",
    "how long does it take to {do} a {thing} for {who}?",
    "do you ship a {thing} to {place} {when}?",
    "who can {do} my {thing} in {place}?",
    "my {thing} started {fault} after I tried to {do} it, what should I do?",
    "should {who} {do} the {thing} before buying {other}?",
    "what is the difference between a {thing} and {other}?",
    "how do I explain {other} to {who}?",
    "write a short email to {who} about my {thing} {fault} {when}",
    "summarise the rules for {who} who want to {do} a {thing} in {place}",
    "which {thing} is better for {who}, and why?",
    "I want a refund for the {thing} that is {fault} {when}",
    "give me three tips to {do} a {thing} with {other}",
];
const ENDINGS: [&str; 5] = ["Thanks!", "Thank you.", "Asap please.", "Any ideas?", "Be brief."];
const DO: [&str; 36] = [
    "repair",
    "clean",
    "return",
    "cancel",
    "replace",
    "configure",
    "update",
    "install",
    "reset",
    "sell",
    "rent",
    "insure",
    "charge",
    "connect",
    "calibrate",
    "upgrade",
    "paint",
    "store",
    "move",
    "register",
    "renew",
    "transfer",
    "export",
    "import",
    "measure",
    "adjust",
    "assemble",
    "test",
    "water",
    "sharpen",
    "print",
    "borrow",
    "wash",
    "track",
    "lock",
    "share",
];
const THING: [&str; 60] = [
    "laptop",
    "bicycle",
    "dishwasher",
    "passport",
    "phone contract",
    "credit card",
    "water heater",
    "garden hose",
    "router",
    "printer",
    "sofa",
    "kitchen knife",
    "car battery",
    "winter coat",
    "tent",
    "violin",
    "fish tank",
    "espresso machine",
    "washing machine",
    "smart watch",
    "tax form",
    "rental car",
    "train ticket",
    "library card",
    "savings account",
    "database",
    "web server",
    "spreadsheet",
    "backup drive",
    "solar panel",
    "roof window",
    "wooden floor",
    "rose bush",
    "tomato plant",
    "baby seat",
    "piano",
    "telescope",
    "drone",
    "projector",
    "microwave",
    "vacuum cleaner",
    "air filter",
    "thermostat",
    "door lock",
    "alarm system",
    "swimming pool",
    "lawn mower",
    "chain saw",
    "sewing machine",
    "camera lens",
    "guitar amplifier",
    "gift voucher",
    "newspaper subscription",
    "gym membership",
    "health insurance",
    "parking permit",
    "birth certificate",
    "work visa",
    "student loan",
    "mortgage",
];
const PLACE: [&str; 40] = [
    "Berlin",
    "Paris",
    "Madrid",
    "Rome",
    "Vienna",
    "London",
    "Dublin",
    "Lisbon",
    "Oslo",
    "Helsinki",
    "Warsaw",
    "Prague",
    "Budapest",
    "Athens",
    "Istanbul",
    "Cairo",
    "Nairobi",
    "Lagos",
    "Cape Town",
    "Mumbai",
    "Delhi",
    "Bangkok",
    "Singapore",
    "Jakarta",
    "Tokyo",
    "Seoul",
    "Shanghai",
    "Sydney",
    "Auckland",
    "Toronto",
    "Vancouver",
    "Chicago",
    "Boston",
    "Denver",
    "Seattle",
    "Mexico City",
    "Bogota",
    "Lima",
    "Santiago",
    "Buenos Aires",
];
const WHEN: [&str; 30] = [
    "in winter",
    "in summer",
    "at night",
    "on weekends",
    "after an update",
    "before a long trip",
    "during a storm",
    "when it rains",
    "on public holidays",
    "after two years",
    "without an account",
    "while travelling",
    "in the evening",
    "at high altitude",
    "in a small flat",
    "after the warranty ended",
    "with a new battery",
    "when nobody is home",
    "before the deadline",
    "on a tight budget",
    "during maintenance",
    "under heavy load",
    "after a power cut",
    "at short notice",
    "in an emergency",
    "every morning",
    "since last Monday",
    "for the first time",
    "twice a month",
    "by myself",
];
const WHO: [&str; 30] = [
    "a beginner",
    "my grandmother",
    "a student",
    "children under six",
    "two people",
    "a small company",
    "a landlord",
    "my neighbour",
    "a nurse",
    "tourists",
    "a freelancer",
    "our customers",
    "the support team",
    "a left-handed person",
    "someone with allergies",
    "a large family",
    "an accountant",
    "the insurance",
    "my teacher",
    "a dog owner",
    "a musician",
    "first-time buyers",
    "night workers",
    "a teenager",
    "pensioners",
    "a cyclist",
    "the hotel",
    "an engineer",
    "my manager",
    "the tax office",
];
const OTHER: [&str; 30] = [
    "a credit check",
    "special tools",
    "an extended warranty",
    "a spare key",
    "a second opinion",
    "an electrician",
    "a written contract",
    "internet access",
    "a deposit",
    "a power adapter",
    "vinegar",
    "baking soda",
    "compound interest",
    "renewable energy",
    "machine learning",
    "public transport",
    "a used one",
    "a cheaper model",
    "the original box",
    "a signature",
    "a receipt",
    "a fixed rate",
    "an open source tool",
    "a spare part",
    "insurance",
    "a subscription",
    "a backup",
    "a ladder",
    "photosynthesis",
    "inflation",
];
const FAULT: [&str; 24] = [
    "leaking",
    "freezing",
    "making noise",
    "overheating",
    "losing power",
    "showing an error",
    "restarting",
    "smelling odd",
    "running slowly",
    "disconnecting",
    "beeping",
    "flickering",
    "rusting",
    "turning yellow",
    "arriving late",
    "missing parts",
    "charging twice",
    "refusing to start",
    "dropping calls",
    "losing data",
    "vibrating",
    "growing mould",
    "printing blank pages",
    "asking for a code",
];
const SWAPS: [(&str, &str); 10] = [
    ("how do I", "how can I"),
    ("what is", "what's"),
    ("best way", "easiest way"),
    ("tell me", "let me know"),
    ("my", "our"),
    ("safe", "okay"),
    ("find", "get"),
    ("keep", "always start"),
    ("short", "brief"),
    ("want", "would like"),
];

/// `count` different questions, two in five of them an earlier one put a little differently.
pub(crate) fn questions(rng: &mut StdRng, count: usize) -> Vec<String> {
    let (mut texts, mut seen) = (Vec::with_capacity(count), HashSet::new());
    while texts.len() < count {
        let text =
            if texts.len() > 100 && rng.random_bool(0.4) { variant(rng, &texts) } else { question(rng) };
        if seen.insert(text.clone()) {
            texts.push(text);
        }
    }
    texts
}

/// `count` questions that are not among `kept`, each a kept one put differently twice.
pub(crate) fn paraphrases(rng: &mut StdRng, kept: &[String], count: usize) -> Vec<String> {
    let known: HashSet<_> = kept.iter().collect();
    let draws = std::iter::repeat_with(|| {
        let once = variant(rng, kept);
        edit(rng, &once)
    });
    draws.filter(|text| !known.contains(text)).take(count).collect()
}

fn variant(rng: &mut StdRng, texts: &[String]) -> String {
    let text = texts[rng.random_range(0..texts.len())].clone();
    edit(rng, &text)
}

fn question(rng: &mut StdRng) -> String {
    let slots: [(&str, &[&str]); 7] = [
        ("{do}", &DO),
        ("{thing}", &THING),
        ("{place}", &PLACE),
        ("{when}", &WHEN),
        ("{who}", &WHO),
        ("{other}", &OTHER),
        ("{fault}", &FAULT),
    ];
    let form = format!("{}{}", pick(rng, &OPENERS), pick(rng, &FORMS));
    slots.iter().fold(form, |text, (slot, words)| text.replace(slot, pick(rng, words)))
}

fn edit(rng: &mut StdRng, text: &str) -> String {
    match rng.random_range(0..5) {
        0 => {
            let (from, to) = SWAPS.choose(rng).expect("there are some");
            text.replacen(from, to, 1)
        }
        1 => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = rng.random_range(1..letters.len());
            letters.swap(at - 1, at);
            letters.into_iter().collect()
        }
        2 => text.trim_end_matches('?').to_lowercase(),
        3 => format!("{}{text}", pick(rng, &OPENERS)),
        _ => format!("{text} {}", pick(rng, &ENDINGS)),
    }
}

fn pick<'a>(rng: &mut StdRng, words: &[&'a str]) -> &'a str {
    words.choose(rng).expect("there are some")
}
