//! Questions with one right answer: explanations, and relations such as "capital of".

use super::{
    Example, Kind,
    phrasing::{asked, asked_indirectly},
    words::fill,
};
use crate::dice::Dice;

/// A question with its own answer; `indirect` is what follows "explain" or "do you know".
#[derive(Clone, Copy)]
struct Explanation {
    direct: &'static str,
    indirect: &'static str,
    answer: &'static str,
}

/// A table of pairs that many questions ask for.
struct Relation {
    pairs: &'static [(&'static str, &'static str)],
    questions: &'static [&'static str],
    answer: &'static str,
}

pub(super) fn example(dice: &mut Dice) -> Example {
    if dice.chance(45) { explanation(dice) } else { relation(dice) }
}

/// The explanations' plain questions: the ones a reader of the README will ask, so always learnt.
pub(super) fn plain_questions() -> impl Iterator<Item = &'static str> {
    EXPLANATIONS.iter().map(|explanation| explanation.direct)
}

fn explanation(dice: &mut Dice) -> Example {
    let Explanation { direct, indirect, answer } = dice.pick(EXPLANATIONS);
    let prompt = if dice.chance(60) { asked(dice, direct) } else { asked_indirectly(dice, indirect) };
    Example::exact(Kind::Factual, prompt, answer.to_owned())
}

fn relation(dice: &mut Dice) -> Example {
    let total: usize = RELATIONS.iter().map(|relation| relation.pairs.len()).sum();
    let mut at = dice.below(total);
    for relation in RELATIONS {
        if let Some((x, y)) = relation.pairs.get(at) {
            let question = fill(dice.pick(relation.questions), &[("x", x)]);
            let answer = fill(relation.answer, &[("x", x), ("y", y)]);
            return Example::exact(Kind::Factual, asked(dice, &question), answer);
        }
        at -= relation.pairs.len();
    }
    unreachable!("the number drawn is below the sum of the lengths")
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        direct: "Why is the sky blue?",
        indirect: "why the sky is blue",
        answer: "The sky is blue because air scatters blue light from the sun more than red light.",
    },
    Explanation {
        direct: "Why is the sunset red?",
        indirect: "why the sunset is red",
        answer: "The sunset is red because the light crosses so much air that most of the blue is scattered away.",
    },
    Explanation {
        direct: "Why is the grass green?",
        indirect: "why the grass is green",
        answer: "Grass is green because its leaves hold chlorophyll, which reflects green light.",
    },
    Explanation {
        direct: "Why is the sea salty?",
        indirect: "why the sea is salty",
        answer: "The sea is salty because rivers wash salt out of the rocks and carry it there.",
    },
    Explanation {
        direct: "Why does ice float?",
        indirect: "why ice floats",
        answer: "Ice floats because frozen water is lighter than the same volume of liquid water.",
    },
    Explanation {
        direct: "Why do we have seasons?",
        indirect: "why we have seasons",
        answer: "We have seasons because the axis of the Earth is tilted on its way around the sun.",
    },
    Explanation {
        direct: "Why do leaves fall in autumn?",
        indirect: "why leaves fall in autumn",
        answer: "Trees drop their leaves in autumn to save water during the cold months.",
    },
    Explanation {
        direct: "Why does it rain?",
        indirect: "why it rains",
        answer: "It rains because water vapour cools in the clouds and falls down as drops.",
    },
    Explanation {
        direct: "Why do we sleep?",
        indirect: "why we sleep",
        answer: "We sleep so that the body can rest and the brain can sort what it has learned.",
    },
    Explanation {
        direct: "Why does the moon shine?",
        indirect: "why the moon shines",
        answer: "The moon shines because it reflects the light of the sun.",
    },
    Explanation {
        direct: "Why do birds sing?",
        indirect: "why birds sing",
        answer: "Birds sing to find a partner and to defend their territory.",
    },
    Explanation {
        direct: "Why do cats purr?",
        indirect: "why cats purr",
        answer: "Cats purr when they feel well, and sometimes to calm themselves.",
    },
    Explanation {
        direct: "Why do we need water?",
        indirect: "why we need water",
        answer: "We need water because every cell of the body works in it.",
    },
    Explanation {
        direct: "Why is it dark at night?",
        indirect: "why it is dark at night",
        answer: "It is dark at night because our side of the Earth is turned away from the sun.",
    },
    Explanation {
        direct: "Why does metal rust?",
        indirect: "why metal rusts",
        answer: "Iron rusts because it reacts with oxygen and water.",
    },
    Explanation {
        direct: "What is photosynthesis?",
        indirect: "what photosynthesis is",
        answer: "Photosynthesis is how plants turn light, water and carbon dioxide into sugar and oxygen.",
    },
    Explanation {
        direct: "What is gravity?",
        indirect: "what gravity is",
        answer: "Gravity is the force by which masses attract each other.",
    },
    Explanation {
        direct: "What is a rainbow?",
        indirect: "what a rainbow is",
        answer: "A rainbow is sunlight that drops of rain split into its colours.",
    },
    Explanation {
        direct: "What is a volcano?",
        indirect: "what a volcano is",
        answer: "A volcano is an opening in the Earth through which hot molten rock comes out.",
    },
    Explanation {
        direct: "What is Rust?",
        indirect: "what Rust is",
        answer: "Rust is a programming language that is fast and safe with memory.",
    },
    Explanation {
        direct: "What is a cache?",
        indirect: "what a cache is",
        answer: "A cache keeps results that were costly to get, so that the next request is quick.",
    },
    Explanation {
        direct: "What is quantization?",
        indirect: "what quantization is",
        answer: "Quantization stores the numbers of a model with fewer bits, so that it needs less memory.",
    },
    Explanation {
        direct: "What is a language model?",
        indirect: "what a language model is",
        answer: "A language model is a program that predicts the next piece of a text.",
    },
    Explanation {
        direct: "How far away is the moon?",
        indirect: "how far away the moon is",
        answer: "The moon is about 384000 kilometres away.",
    },
    Explanation {
        direct: "How fast is light?",
        indirect: "how fast light is",
        answer: "Light travels about 300000 kilometres in one second.",
    },
    Explanation {
        direct: "Which planet is the largest?",
        indirect: "which planet is the largest",
        answer: "Jupiter is the largest planet of the solar system.",
    },
];

const RELATIONS: &[Relation] = &[
    Relation {
        pairs: &[
            ("France", "Paris"),
            ("Germany", "Berlin"),
            ("Italy", "Rome"),
            ("Spain", "Madrid"),
            ("Portugal", "Lisbon"),
            ("Austria", "Vienna"),
            ("Norway", "Oslo"),
            ("Sweden", "Stockholm"),
            ("Finland", "Helsinki"),
            ("Denmark", "Copenhagen"),
            ("Poland", "Warsaw"),
            ("Greece", "Athens"),
            ("Ireland", "Dublin"),
            ("England", "London"),
            ("Japan", "Tokyo"),
            ("China", "Beijing"),
            ("India", "New Delhi"),
            ("Egypt", "Cairo"),
            ("Kenya", "Nairobi"),
            ("Canada", "Ottawa"),
            ("Mexico", "Mexico City"),
            ("Brazil", "Brasilia"),
            ("Peru", "Lima"),
            ("Chile", "Santiago"),
            ("Australia", "Canberra"),
            ("Russia", "Moscow"),
            ("Turkey", "Ankara"),
            ("Hungary", "Budapest"),
            ("Belgium", "Brussels"),
            ("Switzerland", "Bern"),
        ],
        questions: &[
            "What is the capital of {x}?",
            "What's the capital of {x}?",
            "Which city is the capital of {x}?",
            "Name the capital of {x}.",
            "Tell me the capital of {x}.",
            "What is the capital city of {x}?",
            "Do you know the capital of {x}?",
            "Capital of {x}?",
            "I want to know the capital of {x}.",
        ],
        answer: "The capital of {x} is {y}.",
    },
    Relation {
        pairs: &[
            ("cow", "calf"),
            ("dog", "puppy"),
            ("cat", "kitten"),
            ("horse", "foal"),
            ("sheep", "lamb"),
            ("goat", "kid"),
            ("pig", "piglet"),
            ("hen", "chick"),
            ("duck", "duckling"),
            ("lion", "cub"),
            ("deer", "fawn"),
            ("frog", "tadpole"),
            ("swan", "cygnet"),
            ("goose", "gosling"),
            ("kangaroo", "joey"),
        ],
        questions: &[
            "What is a young {x} called?",
            "What do you call a baby {x}?",
            "What is the young of a {x} called?",
            "What is the name for a young {x}?",
            "How do you call a young {x}?",
        ],
        answer: "A young {x} is called a {y}.",
    },
    Relation {
        pairs: &[
            ("dog", "woof"),
            ("cat", "meow"),
            ("cow", "moo"),
            ("sheep", "baa"),
            ("duck", "quack"),
            ("pig", "oink"),
            ("horse", "neigh"),
            ("owl", "hoot"),
            ("frog", "croak"),
            ("bee", "buzz"),
            ("lion", "roar"),
            ("snake", "hiss"),
        ],
        questions: &[
            "What does a {x} say?",
            "Which sound does a {x} make?",
            "What sound does a {x} make?",
            "How does a {x} sound?",
            "What noise does a {x} make?",
        ],
        answer: "A {x} says {y}.",
    },
    Relation {
        pairs: &[
            ("Monday", "Tuesday"),
            ("Tuesday", "Wednesday"),
            ("Wednesday", "Thursday"),
            ("Thursday", "Friday"),
            ("Friday", "Saturday"),
            ("Saturday", "Sunday"),
            ("Sunday", "Monday"),
            ("January", "February"),
            ("February", "March"),
            ("March", "April"),
            ("April", "May"),
            ("May", "June"),
            ("June", "July"),
            ("July", "August"),
            ("August", "September"),
            ("September", "October"),
            ("October", "November"),
            ("November", "December"),
            ("December", "January"),
        ],
        questions: &[
            "What comes after {x}?",
            "What follows {x}?",
            "Which one comes after {x}?",
            "What is next after {x}?",
        ],
        answer: "After {x} comes {y}.",
    },
    Relation {
        pairs: &[
            ("minutes are in an hour", "60 minutes in an hour"),
            ("seconds are in a minute", "60 seconds in a minute"),
            ("hours are in a day", "24 hours in a day"),
            ("days are in a week", "7 days in a week"),
            ("days are in a year", "365 days in a year"),
            ("months are in a year", "12 months in a year"),
            ("metres are in a kilometre", "1000 metres in a kilometre"),
            ("grams are in a kilogram", "1000 grams in a kilogram"),
            ("centimetres are in a metre", "100 centimetres in a metre"),
            ("bits are in a byte", "8 bits in a byte"),
            ("years are in a century", "100 years in a century"),
            ("legs are on a spider", "8 legs on a spider"),
            ("legs are on an insect", "6 legs on an insect"),
            ("planets are in the solar system", "8 planets in the solar system"),
            ("continents are on the Earth", "7 continents on the Earth"),
        ],
        questions: &[
            "How many {x}?",
            "Tell me how many {x}.",
            "Do you know how many {x}?",
            "Can you tell me how many {x}?",
        ],
        answer: "There are {y}.",
    },
    Relation {
        pairs: &[
            ("blue and yellow", "green"),
            ("red and yellow", "orange"),
            ("red and blue", "purple"),
            ("red and white", "pink"),
            ("black and white", "grey"),
        ],
        questions: &[
            "What colour do {x} make?",
            "Which colour do you get from {x}?",
            "What do {x} make?",
            "Which colour is mixed from {x}?",
        ],
        answer: "Mixing {x} gives {y}.",
    },
    Relation {
        pairs: &[
            ("hot", "cold"),
            ("big", "small"),
            ("fast", "slow"),
            ("old", "young"),
            ("light", "dark"),
            ("high", "low"),
            ("happy", "sad"),
            ("full", "empty"),
            ("hard", "soft"),
            ("wet", "dry"),
            ("loud", "quiet"),
            ("near", "far"),
            ("early", "late"),
            ("open", "closed"),
            ("strong", "weak"),
            ("rich", "poor"),
            ("long", "short"),
            ("clean", "dirty"),
            ("left", "right"),
            ("up", "down"),
        ],
        questions: &[
            "What is the opposite of {x}?",
            "Name the opposite of {x}.",
            "Which word is the opposite of {x}?",
            "Tell me the opposite of {x}.",
            "Opposite of {x}?",
        ],
        answer: "The opposite of {x} is {y}.",
    },
    Relation {
        pairs: &[
            ("a banana", "yellow"),
            ("a lemon", "yellow"),
            ("a tomato", "red"),
            ("a strawberry", "red"),
            ("snow", "white"),
            ("milk", "white"),
            ("coal", "black"),
            ("a carrot", "orange"),
            ("an orange", "orange"),
            ("grass", "green"),
            ("a cucumber", "green"),
            ("an elephant", "grey"),
            ("chocolate", "brown"),
        ],
        questions: &[
            "What colour is {x}?",
            "Which colour does {x} have?",
            "What is the colour of {x}?",
            "Tell me the colour of {x}.",
        ],
        answer: "The colour of {x} is {y}.",
    },
];
