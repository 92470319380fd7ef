//! Whole models: what they compute against plain loops, what they refuse, how they generate.
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use super::runner::Wanted;
use super::step::Slice;
use super::tiny::{LLAMA, Shape, Tiny, softmax};
use super::{FinishReason, GenerateOptions, Generation, Model, ModelOptions, Piece};
use crate::gguf::Value;
use crate::{CacheType, DType, Device, DeviceMemory, Error, Memory, Message, Quantizer, Recipe, gguf};

fn model(tiny: &Tiny, dtype: DType) -> Model {
    Model::from_bytes(tiny.gguf(dtype)).unwrap()
}

pub(super) fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| (i * 37 + 11) % 250).collect()
}

/// Logits after each of `tokens`, run in steps of `step`.
pub(super) fn logits(model: &Model, tokens: &[u32], step: usize) -> Vec<Vec<f32>> {
    let mut runner = model.runner(tokens.len()).unwrap();
    let pages: Vec<u32> = (0..runner.pages() as u32).rev().collect();
    let mut start = 0;
    let run = |tokens: &[u32]| {
        let slice = Slice { sequence: 0, tokens, start, pages: &pages, logits: false };
        runner.run(&[slice], Wanted::All, &mut ()).unwrap();
        start += tokens.len();
        runner.logits(0..tokens.len()).unwrap()
    };
    tokens.chunks(step).flat_map(run).collect()
}

/// The largest difference of any logit, in units of the reference's standard deviation.
pub(super) fn difference(reference: &[Vec<f64>], actual: &[Vec<f32>]) -> f64 {
    assert_eq!(reference.len(), actual.len());
    let all: Vec<f64> = reference.concat();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
    let worst = all.iter().zip(actual.concat()).map(|(a, b)| (a - f64::from(b)).abs()).fold(0.0, f64::max);
    worst / deviation
}

#[test]
fn every_architecture_computes_what_plain_loops_compute() {
    let qwen2 = Shape { architecture: "qwen2", ..LLAMA };
    let qwen3 = Shape { architecture: "qwen3", head_size: 32, rope_size: 32, ..LLAMA };
    let partly_rotated = Shape { rope_size: 8, ..LLAMA };
    for shape in [LLAMA, qwen2, qwen3, partly_rotated] {
        let tiny = Tiny::new(shape);
        let tokens = tokens(23);

        let logits = logits(&model(&tiny, DType::F32), &tokens, 256);

        // Keys and values are kept as 16-bit floats.
        let difference = difference(&tiny.logits(&tokens), &logits);
        assert!(difference < 3e-3, "{}: {difference}", shape.architecture);
    }
}

#[test]
fn prompt_at_once_in_chunks_or_token_by_token_gives_the_same() {
    let tiny = Tiny::new(LLAMA);
    assert_steps_agree(&model(&tiny, DType::F32), &tokens(300), &[1, 7, 256]);
}

/// That it does not matter in how many steps tokens are run.
fn assert_steps_agree(model: &Model, tokens: &[u32], steps: &[usize]) {
    let at_once = logits(model, tokens, tokens.len());
    let at_once: Vec<Vec<f64>> =
        at_once.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    for step in steps {
        let difference = difference(&at_once, &logits(model, tokens, *step));
        assert!(difference < 1e-3, "{} in steps of {step}: {difference}", model.info().architecture);
    }
}

/// Windows of 24 and 32 tokens, several kinds of rotation, soft caps: with steps shorter and longer than a window.
#[test]
fn prompt_of_every_family_at_once_in_chunks_or_token_by_token_gives_the_same() {
    let models: [&'static [u8]; 9] = [
        include_bytes!("../../tests/goldens/models/llama2.gguf"),
        include_bytes!("../../tests/goldens/models/llama3.gguf"),
        include_bytes!("../../tests/goldens/models/mistral.gguf"),
        include_bytes!("../../tests/goldens/models/qwen2.gguf"),
        include_bytes!("../../tests/goldens/models/qwen3.gguf"),
        include_bytes!("../../tests/goldens/models/phi3.gguf"),
        include_bytes!("../../tests/goldens/models/gemma.gguf"),
        include_bytes!("../../tests/goldens/models/gemma2.gguf"),
        include_bytes!("../../tests/goldens/models/gemma3.gguf"),
    ];
    for model in models {
        assert_steps_agree(&Model::from_bytes(model).unwrap(), &tokens(90), &[1, 7, 25, 64]);
    }
}

#[test]
fn quantized_models_stay_close_to_the_full_one() {
    let wide = Shape { hidden: 256, feed_forward: 512, head_size: 64, rope_size: 64, layers: 1, ..LLAMA };
    let tiny = Tiny::new(wide);
    let tokens = tokens(40);
    let reference = tiny.logits(&tokens);

    for (dtype, limit) in [(DType::F16, 0.01), (DType::Q8_0, 0.1), (DType::Q6_K, 0.3), (DType::Q4_K, 1.0)] {
        let stored = difference(&reference, &logits(&model(&tiny, dtype), &tokens, 256));
        assert!(stored < limit, "{dtype}: {stored}");

        let loaded = Model::options().dtype(dtype).from_bytes(tiny.gguf(DType::F32)).unwrap();
        let quantized_while_loading = difference(&reference, &logits(&loaded, &tokens, 256));
        assert!(quantized_while_loading < limit, "{dtype} while loading: {quantized_while_loading}");
        assert_eq!(loaded.info().dtype, dtype);
    }
}

#[test]
fn output_matrix_of_its_own_is_used_instead_of_the_embedding() {
    let mut tiny = Tiny::new(LLAMA);
    let tied = logits(&model(&tiny, DType::F32), &tokens(3), 3);
    let (shape, values) = tiny.tensors["token_embd.weight"].clone();
    let doubled = values.iter().map(|x| 2.0 * x).collect();
    tiny.tensors.insert("output.weight".to_owned(), (shape, doubled));

    let own = logits(&model(&tiny, DType::F32), &tokens(3), 3);

    for (tied, own) in tied.concat().iter().zip(own.concat()) {
        assert!((2.0 * tied - own).abs() < 1e-3);
    }
}

#[test]
fn score_is_the_mean_over_windows_of_what_plain_loops_say() {
    let tiny = Tiny::new(LLAMA);
    let text = "the quick brown fox jumps over the lazy dog, twice";
    let model = Model::options().max_context(20).from_bytes(tiny.gguf(DType::F32)).unwrap();
    let tokens = model.tokenize(text).unwrap();

    let score = model.score(text).unwrap();

    let mut expected = 0.0;
    let mut count = 0;
    for window in tokens.chunks(20) {
        for (logits, next) in tiny.logits(window).iter().zip(&window[1..]) {
            expected -= softmax(logits)[*next as usize].ln();
            count += 1;
        }
    }
    assert_eq!(score.tokens, count);
    assert!((score.negative_log_likelihood - expected).abs() < 1e-3, "{score:?} {expected}");
    assert!((model.perplexity(text).unwrap() - (expected / count as f64).exp()).abs() < 1e-2);
}

#[test]
fn embeddings_have_length_one_and_tell_texts_apart() {
    let model = model(&Tiny::new(LLAMA), DType::F32);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();

    let [one, same, other] = ["a cat", "a cat", "quite another text"].map(|text| model.embed(text).unwrap());

    assert_eq!(one.len(), model.info().hidden);
    assert!((dot(&one, &one) - 1.0).abs() < 1e-5);
    assert_eq!(one, same);
    assert!(dot(&one, &other) < 0.999);
    assert!(matches!(model.embed(""), Err(Error::Empty { .. })));
}

pub(super) fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, temperature: 0.0, ..GenerateOptions::default() }
}

fn finish(mut generation: Generation) -> (String, Generation) {
    let text = generation.text().unwrap();
    (text, generation)
}

#[test]
fn greedy_answers_repeat_exactly_and_take_the_likeliest_token() {
    let tiny = Tiny::new(LLAMA);
    let model = model(&tiny, DType::F32);
    let prompt = "once upon a time";

    let pieces: Vec<_> = model.complete(prompt, &greedy(12)).unwrap().map(|piece| piece.unwrap()).collect();

    let again: Vec<_> = model.complete(prompt, &greedy(12)).unwrap().map(|piece| piece.unwrap()).collect();
    let said = |pieces: &[Piece]| -> Vec<_> {
        pieces.iter().map(|p| (p.token, p.text.clone(), p.logprob)).collect()
    };
    assert_eq!(said(&pieces), said(&again));
    let mut tokens = model.tokenize(prompt).unwrap();
    for piece in &pieces {
        let shares = softmax(tiny.logits(&tokens).last().unwrap());
        let best = (0..shares.len()).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap();
        assert_eq!(piece.token as usize, best);
        assert!((f64::from(piece.logprob) - shares[best].ln()).abs() < 1e-3);
        tokens.push(piece.token);
    }
}

#[test]
fn seeds_repeat_an_answer_and_other_seeds_change_it() {
    let model = model(&Tiny::new(LLAMA), DType::F32);
    let run = |seed| {
        let options = GenerateOptions {
            seed: Some(seed),
            temperature: 1.0,
            max_tokens: 30,
            ..GenerateOptions::default()
        };
        finish(model.complete("once", &options).unwrap()).0
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn answer_ends_at_the_limit_the_context_or_a_stop_text() {
    let tiny = Tiny::new(LLAMA);
    let model = Model::options().max_context(16).from_bytes(tiny.gguf(DType::F32)).unwrap();
    let prompt_tokens = model.tokenize("12345678").unwrap().len();
    assert_eq!(prompt_tokens, 8);

    let (text, limited) = finish(model.complete("12345678", &greedy(3)).unwrap());
    assert_eq!((limited.usage().output_tokens, limited.finish_reason()), (3, Some(FinishReason::Length)));

    let (_, full) = finish(model.complete("12345678", &greedy(100)).unwrap());
    assert_eq!((full.usage().output_tokens, full.finish_reason()), (8, Some(FinishReason::Length)));

    let first: String = text.chars().take(1).collect();
    let options = GenerateOptions { stop: vec![first], ..greedy(100) };
    let (stopped, generation) = finish(model.complete("12345678", &options).unwrap());
    assert_eq!((stopped.as_str(), generation.finish_reason()), ("", Some(FinishReason::Stop)));
}

#[test]
fn end_token_ends_the_answer_and_is_not_part_of_it() {
    let mut tiny = Tiny::new(LLAMA);
    let free = model(&tiny, DType::F32);
    let first = free.complete("hello", &greedy(1)).unwrap().next().unwrap().unwrap();
    tiny.metadata.insert("tokenizer.ggml.eot_token_id", first.token);

    let (text, generation) = finish(model(&tiny, DType::F32).complete("hello", &greedy(5)).unwrap());

    assert_eq!(text, "");
    assert_eq!(generation.usage().output_tokens, 0);
    assert_eq!(generation.finish_reason(), Some(FinishReason::Stop));
}

#[test]
fn pieces_are_whole_characters_and_nothing_is_lost() {
    let model = model(&Tiny::new(LLAMA), DType::F32);
    let options = GenerateOptions {
        seed: Some(3),
        temperature: 2.0,
        top_k: 0,
        top_p: 1.0,
        max_tokens: 200,
        ignore_end: true,
        ..GenerateOptions::default()
    };

    let pieces: Vec<_> = model.complete("x", &options).unwrap().map(|piece| piece.unwrap()).collect();

    // A model with random weights writes broken UTF-8 too; piece by piece it must read as it does all at once.
    let tokens: Vec<u32> = pieces.iter().map(|piece| piece.token).collect();
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert!(tokens.len() > 50);
    assert_eq!(text, model.tokenizer().decode(&tokens));
}

#[test]
fn conversation_goes_through_the_models_template() {
    let mut tiny = Tiny::new(LLAMA);
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}";
    tiny.metadata.insert("tokenizer.chat_template", template);
    let model = model(&tiny, DType::F32);

    let generation = model.generate(&[Message::user("hello")], &greedy(1)).unwrap();

    let rendered = model.tokenize("<|im_start|>user: hello<|im_end|>").unwrap();
    assert_eq!(generation.usage().prompt_tokens, rendered.len());
    assert!(matches!(model.generate(&[], &greedy(1)), Err(Error::Empty { .. })));
}

#[test]
fn one_model_serves_several_threads() {
    let model = model(&Tiny::new(LLAMA), DType::Q8_0);
    let alone = finish(model.complete("abc", &greedy(20)).unwrap()).0;
    std::thread::scope(|scope| {
        let run = || finish(model.complete("abc", &greedy(20)).unwrap()).0;
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), alone);
        }
    });
}

#[test]
fn timings_appear_as_the_answer_goes_on() {
    let model = model(&Tiny::new(LLAMA), DType::F32);
    let mut generation = model.complete("abc", &greedy(5)).unwrap();
    assert_eq!(generation.timings().first_token, None);

    let first = generation.next().unwrap().unwrap();
    assert_eq!(generation.timings().first_token, Some(first.at));
    assert_eq!(generation.timings().tokens_per_second, None);

    generation.text().unwrap();
    assert!(generation.timings().first_token >= generation.timings().prefill);
    assert!(generation.timings().tokens_per_second.unwrap() > 0.0);
}

#[test]
fn options_out_of_range_are_named() {
    let model = model(&Tiny::new(LLAMA), DType::F32);
    let default = GenerateOptions::default;
    let bad = [
        ("max_tokens", GenerateOptions { max_tokens: 0, ..default() }),
        ("temperature", GenerateOptions { temperature: -1.0, ..default() }),
        ("temperature", GenerateOptions { temperature: f32::NAN, ..default() }),
        ("top_p", GenerateOptions { top_p: 0.0, ..default() }),
        ("repetition_penalty", GenerateOptions { repetition_penalty: 0.0, ..default() }),
        ("stop", GenerateOptions { stop: vec![String::new()], ..default() }),
    ];
    for (name, options) in bad {
        assert!(matches!(model.complete("a", &options), Err(Error::Option { option, .. }) if option == name));
    }
    let long = "1".repeat(5000);
    assert!(matches!(
        model.complete(&long, &default()),
        Err(Error::PromptTooLong { tokens: 5000, limit: 1023 })
    ));
}

#[test]
fn wrong_metadata_is_refused_by_the_name_of_the_key() {
    let wrong: [(&str, Value); 14] = [
        ("general.architecture", "mamba".into()),
        ("general.architecture", 3_u32.into()),
        ("llama.block_count", 0_u32.into()),
        ("llama.block_count", (-1_i32).into()),
        ("llama.attention.head_count", 0_u32.into()),
        ("llama.attention.head_count", vec![4_u32, 4].into()),
        ("llama.attention.head_count_kv", 3_u32.into()),
        ("llama.attention.key_length", u64::MAX.into()),
        ("llama.rope.dimension_count", 18_u32.into()),
        ("llama.rope.freq_base", f32::NAN.into()),
        ("llama.rope.scaling.type", "ntk".into()),
        ("llama.expert_count", 8_u32.into()),
        ("llama.context_length", 0_u32.into()),
        ("tokenizer.ggml.tokens", vec!["a".to_owned()].into()),
    ];
    for (key, value) in wrong {
        let mut tiny = Tiny::new(LLAMA);
        tiny.metadata.insert(key, value.clone());
        let error = Model::from_bytes(tiny.gguf(DType::F32)).unwrap_err().to_string();
        assert!(error.contains(key) || error.contains("mamba"), "{key} = {value:?}: {error}");
    }
    for key in ["general.architecture", "llama.block_count", "llama.context_length", "tokenizer.ggml.model"] {
        let mut tiny = Tiny::new(LLAMA);
        tiny.metadata.remove(key);
        let error = Model::from_bytes(tiny.gguf(DType::F32)).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
}

#[test]
fn missing_or_misshapen_tensors_are_named() {
    let names: Vec<String> = Tiny::new(LLAMA).tensors.keys().cloned().collect();
    for name in names {
        let mut tiny = Tiny::new(LLAMA);
        let (shape, values) = tiny.tensors.remove(&name).unwrap();
        let missing = Model::from_bytes(tiny.gguf(DType::F32)).unwrap_err();
        assert!(matches!(&missing, Error::MissingTensor { name: missing } if *missing == name), "{missing}");

        let mut longer = shape;
        *longer.last_mut().unwrap() += 32;
        let count = longer.iter().product();
        tiny.tensors.insert(name.clone(), (longer, values.into_iter().cycle().take(count).collect()));
        let misshapen = Model::from_bytes(tiny.gguf(DType::F32)).unwrap_err();
        assert!(misshapen.to_string().contains(&name), "{misshapen}");
    }
}

#[test]
fn weights_that_are_not_numbers_are_an_error_not_an_answer() {
    let mut tiny = Tiny::new(LLAMA);
    tiny.tensors.get_mut("blk.0.ffn_up.weight").unwrap().1[5] = f32::NAN;

    let answer = model(&tiny, DType::F32).complete("abc", &greedy(3)).unwrap().next().unwrap();
    assert!(matches!(answer, Err(Error::Compute { .. })));

    let quantized = Model::options().dtype(DType::Q8_0).from_bytes(tiny.gguf(DType::F32));
    assert!(matches!(quantized, Err(Error::Tensor { name, .. }) if name == "blk.0.ffn_up.weight"));
}

#[derive(Debug)]
struct Full;

impl DeviceMemory for Full {
    fn memory(&self, _device: Device) -> Option<Memory> {
        Some(Memory { total_bytes: 1 << 30, free_bytes: 10_000 })
    }
}

#[test]
fn model_that_does_not_fit_is_refused_before_it_is_read() {
    let bytes = Tiny::new(LLAMA).gguf(DType::F32);
    let options = Model::options().memory(Arc::new(Full));

    let refused = options.clone().from_bytes(bytes.clone());
    assert!(matches!(refused, Err(Error::DoesNotFit { free_bytes: 10_000, .. })));

    assert!(options.unchecked_memory().from_bytes(bytes).is_ok());
}

#[test]
fn footprint_counts_weights_and_grows_with_the_context() {
    let file = gguf::File::from_bytes(Tiny::new(LLAMA).gguf(DType::F16)).unwrap();
    let parameters: u64 = file.tensors().iter().map(crate::TensorInfo::elements).sum();

    let needs = |options: ModelOptions| super::footprint(&file, &options).unwrap();
    let short = needs(Model::options().max_context(128));
    let long = needs(Model::options().max_context(1024));

    // A half is two bytes, a norm four, and the last of the panels of 16 rows may have some to spare.
    let exact = 2 * parameters;
    assert!((exact..exact + exact / 8).contains(&short.weights_bytes), "{short:?} {exact}");
    // Keys and values, layers, heads, numbers of a head, bytes.
    assert_eq!(short.cache_bytes, 2 * 2 * 2 * 16 * 2 * 128);
    assert_eq!(long.cache_bytes, 8 * short.cache_bytes);
    let int8 = needs(Model::options().dtype(DType::Q8_0));
    assert!(int8.weights_bytes < short.weights_bytes * 2 / 3);
}

#[test]
fn progress_reaches_the_end_and_info_says_what_was_loaded() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let options =
        ModelOptions::new().on_progress(move |progress| log.lock().unwrap().push(progress.done_bytes));

    let model = options.from_bytes(Tiny::new(LLAMA).gguf(DType::F16)).unwrap();

    let info = model.info();
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&info.file_bytes));
    assert_eq!((info.name.as_deref(), info.license.as_deref()), (Some("tiny"), Some("MIT")));
    assert_eq!((info.architecture.as_str(), info.dtype, info.context_length), ("llama", DType::F16, 1024));
    assert!(info.bits_per_weight > 16.0 && info.bits_per_weight < 17.0);
    assert_eq!(model.max_context(), 1024);
}

#[test]
fn gpu_that_is_not_there_is_an_error_that_says_what_to_do() {
    let options = Model::options().device(Device::Cuda(0));
    if cfg!(not(aic_cuda)) {
        let error = options.from_bytes(Tiny::new(LLAMA).gguf(DType::F32)).unwrap_err();
        assert!(matches!(error, Error::Device { device: Device::Cuda(0), .. }));
    }
}

#[test]
fn quantized_file_runs_and_its_report_adds_up() {
    let wide = Shape { hidden: 256, feed_forward: 288, head_size: 64, rope_size: 64, layers: 1, ..LLAMA };
    let tiny = Tiny::new(wide);
    let source = gguf::File::from_bytes(tiny.gguf(DType::F16)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("q4.gguf");
    let plan = Recipe::uniform(DType::Q4_K).plan(&source, None).unwrap();
    let mut last = 0;

    let report = Quantizer::new(&plan).run(&source, &target, |progress| {
        last = progress.done_bytes;
        ControlFlow::Continue(())
    });

    let report = report.unwrap();
    assert_eq!(last, report.bytes_before);
    let written = gguf::File::open(&target).unwrap();
    assert_eq!(written.size_bytes(), report.file_bytes);
    assert_eq!(written.tensors().iter().map(|tensor| tensor.bytes).sum::<u64>(), report.bytes_after);
    assert_eq!(written.tensor("blk.0.attn_norm.weight").unwrap().dtype, DType::F32);
    // Rows of 288 do not divide into blocks of 256.
    let substituted = report.substitutions().next().unwrap();
    assert_eq!((substituted.name.as_str(), substituted.to), ("blk.0.ffn_down.weight", DType::Q5_0));
    assert!(report.bits_per_weight() > 4.5 && report.bits_per_weight() < 6.0, "{report}");
    assert_eq!(written.metadata().unsigned("general.file_type").unwrap(), Some(14));
    let text = finish(Model::open(&target).unwrap().complete("abc", &greedy(5)).unwrap()).0;
    let loaded = Model::options().dtype(DType::Q4_K).load(&source).unwrap();
    assert_eq!(text, finish(loaded.complete("abc", &greedy(5)).unwrap()).0);
}

/// The likeliest continuation of some tokens.
fn continuation(model: &Model) -> Vec<u32> {
    let greedy =
        GenerateOptions { temperature: 0.0, max_tokens: 12, ignore_end: true, ..GenerateOptions::default() };
    let pieces = model.complete_tokens(&tokens(40), &greedy).unwrap();
    pieces.map(|piece| piece.unwrap().token).collect()
}

#[test]
fn resized_model_answers_the_same_beside_the_one_it_was_made_of() {
    let model = ModelOptions::new().max_context(512).from_bytes(Tiny::new(LLAMA).gguf(DType::F16)).unwrap();
    let before = continuation(&model);

    let small = model.resized(64, CacheType::F16).unwrap();
    let large = small.resized(4096, CacheType::F16).unwrap();

    assert_eq!([&model, &small, &large].map(Model::max_context), [512, 64, 1024]);
    assert_eq!([&small, &large, &model].map(continuation), [before.clone(), before.clone(), before]);
    assert_eq!(small.info(), model.info());
    let long = tokens(64);
    let too_long = small.complete_tokens(&long, &GenerateOptions::default()).unwrap_err();
    assert!(matches!(too_long, Error::PromptTooLong { limit: 63, .. }), "{too_long}");
    // Heads of 16 are no whole blocks.
    assert!(matches!(model.resized(64, CacheType::Q8_0), Err(Error::Option { option: "cache_type", .. })));
    assert!(matches!(model.resized(1, CacheType::F16), Err(Error::Option { option: "max_context", .. })));
}

#[test]
fn resized_model_keeps_its_rotation_and_grows_no_further_than_that_serves() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/models/phi3.gguf");
    let source = crate::open(path).unwrap();
    let original = source.metadata().unsigned("phi3.rope.scaling.original_context_length").unwrap().unwrap();
    let (short, long) = (original as usize, 2 * original as usize);
    let load = |options: ModelOptions| options.load(&*source).unwrap();
    let made_short = load(ModelOptions::new().max_context(short));
    let made_long = load(ModelOptions::new().max_context(long));
    let to_grow = load(ModelOptions::new().max_context(short).growing_to(long));

    let refused = made_short.resized(long, CacheType::F16).unwrap_err();

    assert!(matches!(refused, Error::Option { option: "max_context", .. }), "{refused}");
    let numbers = tokens(20);
    let last = |model: &Model| logits(model, &numbers, 256).pop().unwrap();
    let shrunk = made_long.resized(short, CacheType::F16).unwrap();
    assert_eq!(last(&shrunk), last(&made_long));
    assert_eq!(last(&to_grow), last(&made_long));
    assert_eq!(last(&to_grow.resized(long, CacheType::F16).unwrap()), last(&made_long));
    assert_ne!(last(&made_short), last(&made_long));
}
