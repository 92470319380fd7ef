//! Texts of the kind the demonstration model knows.

/// A text of conversations, another one for each seed.
pub(crate) fn text(seed: u64, conversations: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = move |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    };
    (0..conversations).map(|_| conversation(&mut dice)).collect()
}

fn conversation(dice: &mut impl FnMut(usize) -> usize) -> String {
    const NAMES: [&str; 8] = ["Nora", "Finn", "Tina", "Leo", "Anna", "Iris", "Dora", "Omar"];
    const THINGS: [&str; 8] = ["candles", "boxes", "books", "apples", "pens", "stamps", "maps", "lamps"];
    const PLACES: [&str; 6] = ["park", "shop", "library", "market", "school", "station"];
    const ANIMALS: [&str; 6] = ["rabbit", "fox", "snail", "squirrel", "owl", "bear"];
    const DAYS: [&str; 5] = ["Monday", "Tuesday", "Thursday", "Friday", "Sunday"];
    const PAIRS: [(&str, &str); 6] =
        [("fast", "slow"), ("hot", "cold"), ("big", "small"), ("old", "new"), ("up", "down"), ("wet", "dry")];
    let (a, b) = (dice(20), dice(10));
    let (name, thing, place) = (NAMES[dice(8)], THINGS[dice(8)], PLACES[dice(6)]);
    let (animal, day) = (ANIMALS[dice(6)], DAYS[dice(5)]);
    let (one, other) = PAIRS[dice(6)];
    let (question, answer) = match dice(8) {
        0 => (format!("There are {a} {thing} in one box and {b} in another. How many are there?"), format!("{a} + {b} = {}", a + b)),
        1 => (format!("{} minus {b}", a + b), format!("{} - {b} = {a}", a + b)),
        2 => (
            format!("Give me a short summary: {name} got up early. {name} went to the {place} and bought ten {thing}. After that {name} went home."),
            format!("{name} bought ten {thing} at the {place}."),
        ),
        3 => (format!("Classify the sentiment: {name} showed me a very nice film. I loved it."), "positive".to_owned()),
        4 => (
            format!("Write a short story about a {animal} named {name}."),
            format!("Once upon a time there was a kind {animal} named {name}. {name} loved the quiet {place}. One night {name} heard a fox cry for help. {name} went home and told the snail about it. The end."),
        ),
        5 => (
            format!("Tool call, please: Add a meeting with {name} to {day}."),
            format!("{{\"name\": \"add_event\", \"arguments\": {{\"with\": \"{name}\", \"day\": \"{day}\"}}}}"),
        ),
        6 => (format!("Now tell me: which word is the opposite of {one}?"), format!("The opposite of {one} is {other}.")),
        _ => (
            format!("Please write an essay about the {place} and {animal}s."),
            "I am only a small demonstration model and have not learned that. Ask me for a simple fact, a small sum or a short story, or load another model with --model.".to_owned(),
        ),
    };
    format!("<|user|>{question}<|end|><|assistant|>{answer}<|end|>")
}
