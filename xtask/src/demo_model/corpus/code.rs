//! Tiny functions in Rust and Python under a name the request gives.

use super::{Example, Kind, words::fill};
use crate::dice::Dice;

const REQUESTS: &[&str] = &[
    "Write a {l} function called {n} that {w}.",
    "Write a function {n} in {l} that {w}.",
    "Please write a {l} function named {n} which {w}.",
    "In {l}, write {n}, a function that {w}.",
    "{l} code: a function {n} that {w}.",
    "Show me a {l} function {n} that {w}.",
];
const VERBS: &[&str] =
    &["get", "make", "find", "run", "do", "build", "check", "compute", "read", "next", "my", "fast"];
const NOUNS: &[&str] = &[
    "value", "total", "result", "number", "item", "price", "score", "count", "size", "data", "step",
    "answer", "sum",
];

/// What the function does, its Rust and its Python.
const TASKS: &[(&str, &str, &str)] = &[
    ("adds two numbers", "fn {n}(a: i64, b: i64) -> i64 {\n    a + b\n}", "def {n}(a, b):\n    return a + b"),
    (
        "subtracts two numbers",
        "fn {n}(a: i64, b: i64) -> i64 {\n    a - b\n}",
        "def {n}(a, b):\n    return a - b",
    ),
    (
        "multiplies two numbers",
        "fn {n}(a: i64, b: i64) -> i64 {\n    a * b\n}",
        "def {n}(a, b):\n    return a * b",
    ),
    ("doubles a number", "fn {n}(x: i64) -> i64 {\n    x * 2\n}", "def {n}(x):\n    return x * 2"),
    ("squares a number", "fn {n}(x: i64) -> i64 {\n    x * x\n}", "def {n}(x):\n    return x * x"),
    (
        "returns the larger number",
        "fn {n}(a: i64, b: i64) -> i64 {\n    a.max(b)\n}",
        "def {n}(a, b):\n    return max(a, b)",
    ),
    (
        "returns the smaller number",
        "fn {n}(a: i64, b: i64) -> i64 {\n    a.min(b)\n}",
        "def {n}(a, b):\n    return min(a, b)",
    ),
    (
        "tells whether a number is even",
        "fn {n}(x: i64) -> bool {\n    x % 2 == 0\n}",
        "def {n}(x):\n    return x % 2 == 0",
    ),
    (
        "tells whether a number is odd",
        "fn {n}(x: i64) -> bool {\n    x % 2 != 0\n}",
        "def {n}(x):\n    return x % 2 != 0",
    ),
    (
        "returns the length of a text",
        "fn {n}(text: &str) -> usize {\n    text.len()\n}",
        "def {n}(text):\n    return len(text)",
    ),
    (
        "greets a person",
        "fn {n}(name: &str) -> String {\n    format!(\"Hello, {name}!\")\n}",
        "def {n}(name):\n    return f\"Hello, {name}!\"",
    ),
    (
        "sums a list",
        "fn {n}(items: &[i64]) -> i64 {\n    items.iter().sum()\n}",
        "def {n}(items):\n    return sum(items)",
    ),
];

pub(super) fn example(dice: &mut Dice) -> Example {
    let name = name(dice);
    let (does, rust, python) = dice.pick(TASKS);
    let (language, code) = if dice.chance(50) { ("Rust", rust) } else { ("Python", python) };
    let request = fill(dice.pick(REQUESTS), &[("l", language), ("n", &name), ("w", does)]);
    Example::exact(Kind::Code, request, fill(code, &[("n", &name)]))
}

fn name(dice: &mut Dice) -> String {
    if dice.chance(25) {
        dice.pick(NOUNS).to_owned()
    } else {
        format!("{}_{}", dice.pick(VERBS), dice.pick(NOUNS))
    }
}
