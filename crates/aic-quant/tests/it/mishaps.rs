//! What goes wrong with a model's file, its weights or its requests is an error that says so, and what is left goes on.
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aic_quant::gguf::{File, Metadata};
use aic_quant::{
    CacheType, Error, GenerateOptions, HuggingFace, Model, ModelOptions, Result, TensorInfo, TensorSource,
};

use crate::demo::Described;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models").join(name)
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, temperature: 0.0, ignore_end: true, ..GenerateOptions::default() }
}

fn tokens(model: &Model, prompt: &[u32]) -> Vec<u32> {
    let answer = model.complete_tokens(prompt, &greedy(12)).unwrap();
    answer.map(|piece| piece.unwrap().token).collect()
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn is_end_of_file(error: &Error) -> bool {
    matches!(error, Error::Io { action: "read", source, .. } if source.kind() == ErrorKind::UnexpectedEof)
}

#[test]
fn file_cut_short_after_it_was_opened_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let length = fs::copy(golden("llama3.gguf"), &path).unwrap();
    let file = File::open(&path).unwrap();

    for left in [length - 1, length / 2, 100, 0] {
        cut(&path, left);
        let error = ModelOptions::new().load(&file).unwrap_err();
        assert!(is_end_of_file(&error) && error.to_string().contains("model.gguf"), "{left}: {error:?}");
    }
}

#[test]
fn folder_whose_weights_are_cut_short_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("llama3")).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let opened = HuggingFace::open(folder.path()).unwrap();

    cut(&folder.path().join("model.safetensors"), 5000);

    let error = ModelOptions::new().load(&opened).unwrap_err();
    assert!(is_end_of_file(&error), "{error:?}");
}

#[test]
fn model_in_memory_does_not_miss_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(golden("llama3.gguf"), &path).unwrap();
    let model = Model::open(&path).unwrap();
    let before = tokens(&model, &[1, 2, 3]);

    cut(&path, 0);

    assert_eq!(tokens(&model, &[1, 2, 3]), before);
}

#[test]
fn unknown_architecture_is_named_with_those_that_run() {
    let inner = File::open(golden("llama3.gguf")).unwrap();
    let mut metadata = inner.metadata().clone();
    metadata.insert("general.architecture", "mamba");

    let error = ModelOptions::new().load(&Described { inner, metadata }).unwrap_err().to_string();

    for name in ["mamba", "llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn cache_types_that_do_not_suit_the_heads_are_refused_at_load() {
    let load = |keys, values| Model::options().cache_types(keys, values).open(golden("llama2.gguf"));
    for [keys, values] in [
        [CacheType::Q8_0, CacheType::F16],
        [CacheType::F16, CacheType::Q8_0],
        [CacheType::F16, CacheType::Q4_0],
    ] {
        let error = load(keys, values).unwrap_err();
        assert!(matches!(error, Error::Option { option: "cache_type", .. }), "{error}");
        assert!(error.to_string().contains("heads of 16"), "{error}");
    }
    assert!(load(CacheType::F16, CacheType::F16).is_ok());
}

#[test]
fn prompts_that_are_empty_too_long_or_of_unknown_tokens_are_refused_and_the_next_is_answered() {
    let model = Model::options().max_context(64).open(golden("llama3.gguf")).unwrap();
    let complete = |tokens: &[u32]| model.complete_tokens(tokens, &greedy(1)).map(drop).unwrap_err();
    let predict = |tokens: &[u32]| model.predict(tokens, |_, _| Ok(())).unwrap_err();

    assert!(matches!(complete(&[]), Error::Empty { what: "prompt" }));
    assert!(matches!(model.complete("", &greedy(1)), Err(Error::Empty { what: "prompt" })));
    assert!(matches!(model.embed(""), Err(Error::Empty { what: "text" })));
    assert!(matches!(complete(&[1; 64]), Error::PromptTooLong { tokens: 64, limit: 63 }));
    assert!(matches!(predict(&[1; 65]), Error::PromptTooLong { tokens: 65, limit: 64 }));
    assert!(matches!(model.embed(&"1".repeat(65)), Err(Error::PromptTooLong { limit: 64, .. })));
    for token in [264, u32::MAX] {
        assert!(matches!(complete(&[1, token]), Error::Option { option: "tokens", .. }));
        assert!(matches!(predict(&[token]), Error::Option { option: "tokens", .. }));
    }

    assert_eq!(model.complete_tokens(&[1; 63], &greedy(9)).unwrap().count(), 1);
    assert!(model.predict(&[], |_, _| panic!("there is nothing to predict")).is_ok());
}

/// A model one of whose tokens turns everything that sees it into no numbers.
struct Poisoned(File);

const POISON: u32 = 65;
const VOCABULARY: u64 = 264;
const EMBEDDING: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";

impl TensorSource for Poisoned {
    fn metadata(&self) -> &Metadata {
        self.0.metadata()
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.0.tensors()
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        self.0.read_into(tensor, start, out)?;
        let row = (tensor.bytes / VOCABULARY) as usize;
        let poisoned = |at: usize| tensor.name == EMBEDDING && at / row == POISON as usize;
        (start as usize..).zip(out).filter(|(at, _)| poisoned(*at)).for_each(|(_, byte)| *byte = 0xff);
        Ok(())
    }
}

/// Tokens are run together with damaged ones, and in pages that held them.
#[test]
fn weights_that_are_no_numbers_end_the_answers_that_meet_them_and_no_other() {
    let file = || File::open(golden("llama2.gguf")).unwrap();
    assert!(file().tensor(OUTPUT).is_some(), "the embedding is not the matrix of the logits");
    let healthy = Model::options().load(&file()).unwrap();
    let model = Model::options().load(&Poisoned(file())).unwrap();
    let prompts: Vec<Vec<u32>> = (0..20_u32)
        .map(|i| {
            (0..10 + 7 * i).map(|at| if at == 5 && i % 2 == 0 { POISON } else { (at * i) % 60 }).collect()
        })
        .collect();

    for _ in 0..3 {
        let answers: Vec<_> =
            prompts.iter().map(|prompt| model.complete_tokens(prompt, &greedy(12)).unwrap()).collect();
        for (prompt, answer) in prompts.iter().zip(answers) {
            let pieces: Result<Vec<_>> = answer.collect();
            match pieces {
                Err(error) => {
                    assert!(prompt.contains(&POISON), "{error:?}");
                    assert!(matches!(error, Error::Compute { .. }), "{error:?}");
                }
                Ok(pieces) => {
                    let said: Vec<u32> = pieces.iter().map(|piece| piece.token).collect();
                    assert!(!prompt.contains(&POISON));
                    assert_eq!(said, tokens(&healthy, prompt));
                }
            }
        }
    }
}
