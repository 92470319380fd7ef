//! Many requests to one model: each is answered as if it were alone, and nothing is left behind.
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use aic_quant::gguf::File;
use aic_quant::{
    CacheType, Error, FinishReason, GenerateOptions, Generation, Model, ModelOptions, Piece, ServeOptions,
    ServeStatistics,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::demo::Described;

/// Tokens of a page of keys and values.
const PAGE: usize = 32;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models").join(name)
}

/// A small model with room for two full contexts.
fn load(family: &str, options: ModelOptions) -> Model {
    options.threads(2).cache_tokens(512).open(golden(&format!("{family}.gguf"))).unwrap()
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, temperature: 0.0, ignore_end: true, ..GenerateOptions::default() }
}

fn seeded(seed: u64, max_tokens: usize) -> GenerateOptions {
    GenerateOptions { temperature: 1.0, top_k: 0, seed: Some(seed), ..greedy(max_tokens) }
}

/// Tokens that look random and are the same each time.
fn prompt(seed: u64, length: usize) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..length).map(|_| random.random_range(0..256)).collect()
}

struct Request {
    prompt: Vec<u32>,
    options: GenerateOptions,
}

impl Request {
    fn start(&self, model: &Model) -> Generation {
        model.complete_tokens(&self.prompt, &self.options).unwrap()
    }
}

/// Requests of many lengths, some of which begin alike; half of the answers are left to chance.
fn requests() -> Vec<Request> {
    let mut random = StdRng::seed_from_u64(7);
    let request = |index: u64| {
        let mut tokens = if index.is_multiple_of(2) { prompt(0, 70) } else { Vec::new() };
        tokens.extend(prompt(index + 1, random.random_range(1..80)));
        let length = random.random_range(1..40);
        let options = if index.is_multiple_of(3) { greedy(length) } else { seeded(index, length) };
        Request { prompt: tokens, options }
    };
    (0..20).map(request).collect()
}

/// What an answer says: its tokens and their text. How likely the model thinks each is may differ in the last bits, where a prompt
/// was read in other chunks.
fn said(pieces: impl Iterator<Item = aic_quant::Result<Piece>>) -> Vec<(u32, String)> {
    let parts = |piece: Piece| (piece.token, piece.text);
    pieces.map(|piece| parts(piece.unwrap())).collect()
}

/// Waits until all is answered.
fn settled(model: &Model) -> ServeStatistics {
    loop {
        let statistics = model.statistics();
        if statistics.running + statistics.waiting == 0 {
            return statistics;
        }
        thread::yield_now();
    }
}

/// Eight threads ask 25 times each, all before they read the first answer, and leave every other answer at any token.
fn ask_two_hundred_times(model: &Model, requests: &[Request], alone: &[Vec<(u32, String)>]) {
    thread::scope(|scope| {
        for caller in 0..8 {
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(caller);
                let mut start = || {
                    let index = random.random_range(0..requests.len());
                    let all = alone[index].len();
                    let read = if random.random() { random.random_range(0..=all) } else { usize::MAX };
                    (index, read, requests[index].start(model))
                };
                for (index, read, answer) in (0..25).map(|_| start()).collect::<Vec<_>>() {
                    let expected = &alone[index][..read.min(alone[index].len())];
                    assert_eq!(said(answer.take(read)), expected, "request {index}, {read} tokens");
                }
            });
        }
    });
}

#[test]
fn two_hundred_requests_with_cancels_leave_no_page_and_are_answered_as_if_alone() {
    let requests = requests();
    let variants: [(&str, ModelOptions); 5] = [
        ("llama3", Model::options()),
        ("gemma3", Model::options()),
        ("phi3", Model::options()),
        ("llama3", Model::options().dtype(aic_quant::DType::Q8_0)),
        ("qwen3", Model::options().cache_types(CacheType::Q8_0, CacheType::Q4_0)),
    ];
    for (family, options) in variants {
        let alone: Vec<_> =
            requests.iter().map(|request| said(request.start(&load(family, options.clone())))).collect();
        let model = load(family, options.serving(ServeOptions { running: 16, ..ServeOptions::default() }));

        ask_two_hundred_times(&model, &requests, &alone);

        let statistics = settled(&model);
        assert_eq!(statistics.pages_used, 0, "{family}: {statistics:?}");
        assert_eq!(statistics.pages_free + statistics.pages_cached, 512 / PAGE, "{family}: {statistics:?}");
        assert_eq!(statistics.finished + statistics.cancelled + statistics.purged, 200, "{statistics:?}");
        assert_eq!((statistics.failed, statistics.refused), (0, 0), "{family}: {statistics:?}");
        assert!(statistics.prefix_hit_tokens > 0 && statistics.cancelled > 0, "{family}: {statistics:?}");
    }
}

#[test]
fn request_that_begins_like_another_is_spared_the_beginning_and_answered_the_same() {
    let begin = prompt(1, 5 * PAGE);
    let request = |end: &[u32]| Request { prompt: [&begin[..], end].concat(), options: greedy(20) };
    let (first, second) = (request(&[1, 2, 3]), request(&[4, 5]));
    let fresh = said(second.start(&load("gemma3", Model::options())));
    let model = load("gemma3", Model::options());
    said(first.start(&model));
    assert_eq!(model.statistics().prefix_hit_tokens, 0);

    let answer = said(second.start(&model));

    assert_eq!(answer, fresh);
    assert_eq!(settled(&model).prefix_hit_tokens, begin.len() as u64);
}

#[test]
fn full_queue_refuses_and_what_was_taken_in_is_answered() {
    let serving = ServeOptions { waiting: 1, running: 1, ..ServeOptions::default() };
    let model = load("llama3", Model::options().serving(serving));
    let mut answers = Vec::new();

    let refused = loop {
        match model.complete_tokens(&[1, 2, 3], &greedy(100)) {
            Ok(answer) => answers.push(answer),
            Err(error) => break error,
        }
    };

    assert!(matches!(refused, Error::QueueFull { waiting: 1, limit: 1 }), "{refused}");
    assert!(answers.into_iter().all(|answer| said(answer).len() == 100));
    assert_eq!(settled(&model).refused, 1);
    assert!(model.complete_tokens(&[1, 2, 3], &greedy(1)).is_ok(), "there is room again");
}

#[test]
fn request_that_waits_too_long_expires_while_the_one_before_it_is_answered() {
    let serving = ServeOptions { running: 1, ..ServeOptions::default() };
    let model = load("llama3", Model::options().serving(serving));
    let first = model.complete_tokens(&[1], &greedy(200)).unwrap();
    let impatient = GenerateOptions { max_wait: Some(Duration::ZERO), ..greedy(1) };

    let mut expired = model.complete_tokens(&[2], &impatient).unwrap();

    assert!(matches!(expired.next(), Some(Err(Error::Expired { .. }))));
    assert!(expired.next().is_none());
    assert_eq!(expired.finish_reason(), None);
    assert_eq!(said(first).len(), 200);
    assert_eq!(settled(&model).purged, 1);
}

#[test]
fn request_that_may_wait_for_ever_does_not_expire() {
    let patient = GenerateOptions { max_wait: Some(Duration::MAX), ..greedy(5) };
    assert_eq!(said(load("llama3", Model::options()).complete_tokens(&[1], &patient).unwrap()).len(), 5);
}

/// Threads share a long look back where there are few rows to share instead; that must not be seen in the result.
#[test]
fn long_answer_is_the_same_in_company() {
    let inner = File::open(golden("llama2.gguf")).unwrap();
    let mut metadata = inner.metadata().clone();
    metadata.insert("llama.context_length", 2048_u32);
    let source = Described { inner, metadata };
    let load = || Model::options().threads(2).max_context(2048).cache_tokens(8192).load(&source).unwrap();
    let long = Request { prompt: prompt(1, 900), options: greedy(40) };
    let alone = said(long.start(&load()));

    let model = load();
    let company: Vec<_> = (2..14)
        .map(|seed| Request { prompt: prompt(seed, 300), options: greedy(60) }.start(&model))
        .collect();
    let together = said(long.start(&model));

    drop(company);
    assert_eq!(together, alone);
}

#[test]
fn dropped_model_lives_on_until_its_answers_are_complete_or_dropped() {
    let model = load("llama3", Model::options());
    let expected = said(model.complete_tokens(&[1, 2, 3], &greedy(60)).unwrap());
    let mut read = model.complete_tokens(&[1, 2, 3], &greedy(60)).unwrap();
    let left = model.complete_tokens(&[4, 5], &greedy(200)).unwrap();

    drop(model);
    drop(left);

    assert_eq!(said(read.by_ref()), expected);
    assert_eq!(read.finish_reason(), Some(FinishReason::Length));
}

/// Unparks the thread that waits for a future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// All that `answers` say, awaited by one task.
async fn all_said(mut answers: Vec<Generation>) -> Vec<Vec<(u32, String)>> {
    let mut pieces: Vec<Vec<_>> = answers.iter().map(|_| Vec::new()).collect();
    poll_fn(|context| {
        for (answer, pieces) in answers.iter_mut().zip(&mut pieces) {
            while let Poll::Ready(Some(piece)) = answer.poll_next(context) {
                pieces.push(piece);
            }
        }
        let over = answers.iter().all(|answer| answer.finish_reason().is_some());
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pieces.into_iter().map(|pieces| said(pieces.into_iter())).collect()
}

#[test]
fn one_task_awaits_several_answers() {
    let model = load("llama3", Model::options());
    let requests = requests();
    let alone: Vec<_> = requests.iter().map(|request| said(request.start(&model))).collect();

    let together = block_on(all_said(requests.iter().map(|request| request.start(&model)).collect()));

    assert_eq!(together, alone);
}

#[test]
fn embedding_and_scoring_do_not_disturb_answers() {
    let model = load("llama3", Model::options());
    let text = "hello well, the quick brown fox";
    let request = Request { prompt: prompt(3, 50), options: greedy(60) };
    let (expected, embedding) = (said(request.start(&model)), model.embed(text).unwrap());
    let score = model.score(text).unwrap();

    let answers: Vec<_> = (0..8).map(|_| request.start(&model)).collect();
    let (embedding_meanwhile, score_meanwhile) = (model.embed(text).unwrap(), model.score(text).unwrap());

    assert_eq!(embedding_meanwhile, embedding);
    assert_eq!(score_meanwhile.negative_log_likelihood.to_bits(), score.negative_log_likelihood.to_bits());
    answers.into_iter().for_each(|answer| assert_eq!(said(answer), expected));
}
