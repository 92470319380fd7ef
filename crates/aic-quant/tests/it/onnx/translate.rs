use std::fs;
use std::ops::ControlFlow;

use aic_quant::Error;
use aic_quant::onnx::{TranslateOptions, Translator};
use serde::Deserialize;

use super::expected::{expected, folder};
use super::model::runtimes;

#[derive(Deserialize)]
struct Case {
    text: String,
    greedy: Vec<u32>,
    beams: Vec<u32>,
    penalised: Vec<u32>,
    unrepeated: Vec<u32>,
}

fn nllb() -> TranslateOptions {
    TranslateOptions::new().source("eng_Latn").target("deu_Latn")
}

/// Each way of translating, with what should come of it.
/// Options, and which tokens of a case they lead to.
type Way = (TranslateOptions, fn(&Case) -> &Vec<u32>);

fn ways(base: &TranslateOptions) -> [Way; 4] {
    let base = || base.clone().max_tokens(23);
    [
        (base().beams(1), |case| &case.greedy),
        (base().beams(4), |case| &case.beams),
        (base().beams(1).no_repeat_ngram(2), |case| &case.unrepeated),
        (base().beams(3).no_repeat_ngram(2).length_penalty(2.0).max_tokens(19), |case| &case.penalised),
    ]
}

fn check(model: &str, base: &TranslateOptions) {
    let cases: Vec<Case> = expected(model);
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    for options in runtimes() {
        let translator = Translator::with_options(folder(model), &options).unwrap();
        for (way, (translate, wanted)) in ways(base).into_iter().enumerate() {
            let found = translator.translate(&texts, &translate.batch(3)).unwrap();
            for (found, case) in found.iter().zip(&cases) {
                assert_eq!(&found.tokens, wanted(case), "{options:?}, way {way}: {}", case.text);
            }
            assert_eq!(found.len(), cases.len());
        }
    }
}

#[test]
fn decoder_in_two_files_answers_as_the_original() {
    check("m2m100", &nllb());
}

#[test]
fn merged_decoder_answers_as_the_original() {
    check("marian", &TranslateOptions::new());
}

#[test]
fn language_that_the_model_lacks_is_named() {
    let translator = Translator::with_options(folder("m2m100"), &runtimes()[0]).unwrap();
    let error = translator.translate(&["no"], &nllb().target("klingon")).unwrap_err();
    assert!(matches!(error, Error::Option { option: "target", .. }), "{error}");
    assert!(error.to_string().contains("klingon"), "{error}");
    let none: Vec<String> = Vec::new();
    assert!(translator.translate(&none, &nllb()).unwrap().is_empty());
}

#[test]
fn text_longer_than_the_positions_is_an_error() {
    let translator = Translator::with_options(folder("m2m100"), &runtimes()[0]).unwrap();
    let error = translator.translate(&["hello ".repeat(80)], &nllb()).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { limit: 64, .. }), "{error}");
}

#[test]
fn tokens_are_told_as_they_come_and_stop_when_asked() {
    let translator = Translator::with_options(folder("m2m100"), &runtimes()[0]).unwrap();
    let texts = ["Hello, world!", "No."];
    for options in [nllb().beams(1).max_tokens(12), nllb().beams(3).max_tokens(12)] {
        let mut told = vec![vec![2], vec![2]];
        let found = translator.translate_streaming(&texts, &options, |text, token| {
            told[text].push(token);
            ControlFlow::Continue(())
        });
        let tokens: Vec<Vec<u32>> = found.unwrap().into_iter().map(|found| found.tokens).collect();
        assert_eq!(told, tokens);
    }

    let mut count = 0;
    let stopped = translator.translate_streaming(&texts, &nllb().beams(1), |_, _| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
    assert_eq!(count, 3);
}

#[test]
fn folders_that_lack_something_say_what() {
    let whole = folder("marian");
    let broken = tempfile::tempdir().unwrap();
    for name in ["config.json", "generation_config.json", "tokenizer.json", "encoder_model.onnx"] {
        fs::copy(whole.join(name), broken.path().join(name)).unwrap();
    }
    let open = || Translator::with_options(broken.path(), &runtimes()[0]).unwrap_err();
    assert!(matches!(open(), Error::NotAModel { .. }), "{}", open());

    fs::write(broken.path().join("generation_config.json"), r#"{"num_beams": "many"}"#).unwrap();
    assert!(open().to_string().contains("generation_config.json"), "{}", open());
    fs::write(broken.path().join("generation_config.json"), "{").unwrap();
    assert!(matches!(open(), Error::Malformed { .. }), "{}", open());
    fs::remove_file(broken.path().join("tokenizer.json")).unwrap();
    fs::remove_file(broken.path().join("generation_config.json")).unwrap();
    assert!(matches!(open(), Error::Io { .. }), "{}", open());
}
