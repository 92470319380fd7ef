//! The demonstration model keeps to what its answers have to look like.
use std::error::Error as _;

use aic_quant::{Constraint, Error, FinishReason, GenerateOptions, Model, ModelOptions};
use regex::Regex;
use serde_json::Value;

use crate::demo;

const SEEDS: u64 = 20;

const PERSON: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "pets": {"type": "array", "items": {"enum": ["cat", "dog"]}, "maxItems": 3}
    },
    "required": ["name", "age", "pets"],
    "additionalProperties": false
}"#;

fn options(seed: u64, constraint: Option<Constraint>) -> GenerateOptions {
    GenerateOptions {
        seed: Some(seed),
        temperature: 1.0,
        max_tokens: 300,
        constraint,
        ..GenerateOptions::default()
    }
}

/// The answers of [`SEEDS`] seeds, made together; all fulfil `constraint` to its end.
fn answers(model: &Model, constraint: &Constraint) -> Vec<String> {
    let start = |seed| model.complete("The answer: ", &options(seed, Some(constraint.clone()))).unwrap();
    let answers: Vec<_> = (0..SEEDS).map(start).collect();
    let finish = |mut answer: aic_quant::Generation| {
        let text = answer.text().unwrap();
        assert_eq!(answer.finish_reason(), Some(FinishReason::Stop), "{text}");
        text
    };
    answers.into_iter().map(finish).collect()
}

fn assert_all_match(answers: &[String], pattern: &str) {
    let pattern = Regex::new(&format!("^(?:{pattern})$")).unwrap();
    for answer in answers {
        assert!(pattern.is_match(answer), "{answer:?}");
    }
    assert!(answers.iter().any(|answer| *answer != answers[0]), "seeds make a difference");
}

#[test]
fn answers_fulfil_a_json_schema() {
    for answer in answers(&demo::model(), &Constraint::JsonSchema(PERSON.to_owned())) {
        let person: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(person.as_object().unwrap().len(), 3, "{answer}");
        assert!(person["name"].as_str().unwrap().chars().count() <= 12, "{answer}");
        assert!(person["age"].as_u64().unwrap() <= 120, "{answer}");
        let pets = person["pets"].as_array().unwrap();
        assert!(pets.len() <= 3 && pets.iter().all(|pet| pet == "cat" || pet == "dog"), "{answer}");
    }
}

#[test]
fn answers_match_a_regular_expression_as_a_whole() {
    let pattern = "[A-Z][a-z]{2,8}, [0-9]{4}(-[0-9]{2}){2}";
    assert_all_match(&answers(&demo::model(), &Constraint::Regex(pattern.to_owned())), pattern);
}

#[test]
fn answers_are_of_a_grammar() {
    let grammar = "start: number \"+\" number \"=\" number\nnumber: /[1-9][0-9]{0,2}/";
    let pattern = r"([1-9][0-9]{0,2})\+([1-9][0-9]{0,2})=([1-9][0-9]{0,2})";
    assert_all_match(&answers(&demo::model(), &Constraint::Lark(grammar.to_owned())), pattern);
}

#[test]
fn constraint_that_cannot_be_read_is_refused_with_its_cause_and_the_model_goes_on() {
    let model = demo::model();
    let wrong = [
        Constraint::JsonSchema("{".to_owned()),
        Constraint::JsonSchema(r#"{"type": "colour"}"#.to_owned()),
        Constraint::JsonSchema(r#"{"type": "integer", "minimum": 3, "maximum": 2}"#.to_owned()),
        Constraint::Regex("(".to_owned()),
        Constraint::Lark("start: nothing".to_owned()),
        Constraint::Lark("letters: /[a-z]+/".to_owned()),
    ];
    for constraint in wrong {
        let refused = model.complete("a", &options(0, Some(constraint.clone())));
        match refused {
            Err(error @ Error::Constraint { .. }) => {
                assert!(!error.source().unwrap().to_string().is_empty(), "{constraint:?}");
            }
            other => panic!("{constraint:?}: {other:?}"),
        }
    }

    let answers = answers(&model, &Constraint::Regex("yes|no".to_owned()));
    assert_all_match(&answers, "yes|no");
}

#[test]
fn constraint_of_endless_size_is_refused_in_time() {
    let huge = "(((a{1000}){1000}){1000}){1000}";
    let refused = demo::model()
        .complete("a", &options(0, Some(Constraint::Regex(huge.to_owned()))))
        .and_then(|mut answer| answer.text());
    // A matcher that unfolds repetitions only as they come takes it; it must not run for ever then either.
    assert!(
        refused.map_or_else(|error| matches!(error, Error::Constraint { .. }), |text| text.len() <= 300 * 16)
    );
}

#[test]
fn constraint_holds_for_one_answer_and_not_for_those_made_with_it() {
    let model = demo::model();
    let free = |seed| model.complete("The answer: ", &options(seed, None)).unwrap();
    let alone: Vec<String> = (0..4).map(|seed| free(seed).text().unwrap()).collect();
    let digits = Constraint::Regex("[0-9]{40}".to_owned());

    let mut together: Vec<_> = (0..4).map(free).collect();
    let mut constrained = model.complete("The answer: ", &options(0, Some(digits))).unwrap();

    let constrained = constrained.text().unwrap();
    assert!(
        constrained.len() == 40 && constrained.bytes().all(|byte| byte.is_ascii_digit()),
        "{constrained}"
    );
    let together: Vec<String> = together.iter_mut().map(|answer| answer.text().unwrap()).collect();
    assert_eq!(together, alone);
}

#[test]
fn stop_text_ends_an_answer_before_it_wherever_tokens_begin() {
    let model = demo::model();
    let greedy =
        GenerateOptions { temperature: 0.0, max_tokens: 60, ignore_end: true, ..GenerateOptions::default() };
    let whole = model.complete("The answer: ", &greedy).unwrap().text().unwrap();
    let characters: Vec<char> = whole.chars().collect();
    assert!(characters.len() > 40, "{whole}");

    for start in [0, 7, 20] {
        let stop: String = characters[start..start + 9].iter().collect();
        let options =
            GenerateOptions { stop: vec!["never to be seen".to_owned(), stop.clone()], ..greedy.clone() };
        let mut answer = model.complete("The answer: ", &options).unwrap();

        let text = answer.text().unwrap();

        assert_eq!(text, whole[..whole.find(&stop).unwrap()]);
        assert_eq!(answer.finish_reason(), Some(FinishReason::Stop));
    }
}

#[test]
fn seed_repeats_an_answer_in_any_company() {
    let model = demo::model();
    let start = |seed| model.complete("Once", &options(seed, None)).unwrap();
    let alone: Vec<String> = (0..6).map(|seed| start(seed).text().unwrap()).collect();

    let together: Vec<_> = (0..6).rev().map(start).collect();

    let together: Vec<String> = together.into_iter().rev().map(|mut answer| answer.text().unwrap()).collect();
    assert_eq!(together, alone);
    assert!(alone.iter().any(|text| *text != alone[0]));
}

/// The model without a token that ends answers.
fn endless() -> Model {
    let inner = demo::file();
    let mut metadata = aic_quant::TensorSource::metadata(&inner).clone();
    for key in ["eos_token_id", "eot_token_id"] {
        metadata.remove(&format!("tokenizer.ggml.{key}"));
    }
    ModelOptions::new().load(&demo::Described { inner, metadata }).unwrap()
}

#[test]
fn fulfilled_constraint_ends_the_answer_of_a_model_that_cannot_end_it() {
    let texts = answers(&endless(), &Constraint::Regex("[0-9]{3}".to_owned()));
    assert_all_match(&texts, "[0-9]{3}");
}

#[test]
fn fulfilled_constraint_ends_an_answer_that_ignores_ends() {
    let constraint = Some(Constraint::Regex("[0-9]{3}".to_owned()));
    let options = GenerateOptions { ignore_end: true, ..options(1, constraint) };
    let mut answer = demo::model().complete("a", &options).unwrap();

    assert_eq!(answer.text().unwrap().len(), 3);
    assert_eq!(answer.finish_reason(), Some(FinishReason::Stop));
}
