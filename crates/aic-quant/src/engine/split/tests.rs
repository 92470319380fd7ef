//! Split models beside whole ones. Candle's tensors on the processor stand in for those of a GPU.
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Runner;
use crate::engine::config::Config;
use crate::engine::decoder::Decoder;
use crate::engine::footprint::footprints;
use crate::engine::observer::{Observer, Rows};
use crate::engine::runner::{Runner as _, Wanted};
use crate::engine::step::{Slice, Step};
use crate::engine::tests::{difference, greedy, logits, tokens};
use crate::engine::tiny::{LLAMA, Shape, Tiny};
use crate::engine::{DeviceLayers, Model, ModelOptions};
use crate::gguf::File;
use crate::serve::{Event, Worker};
use crate::tokenizer::Tokenizer;
use crate::{CacheType, DType, Device, DeviceMemory, Error, Memory, Result, ServeOptions};

const LAYERS: usize = 4;
const GPU: Device = Device::Cuda(0);

fn split(layers: usize) -> ModelOptions {
    let options = Model::options().device(GPU).device_layers(DeviceLayers::Count(layers)).threads(2);
    ModelOptions { stand_in: true, ..options }
}

fn tiny(shape: Shape) -> Tiny {
    Tiny::new(Shape { layers: LAYERS, ..shape })
}

/// With an embedding for the logits, with a matrix of their own, with biases, with norms of heads, partly rotated, and with
/// wave lengths stretched as Llama 3.1 does.
fn families() -> Vec<(&'static str, Tiny)> {
    let mut own = tiny(LLAMA);
    let (shape, values) = own.tensors["token_embd.weight"].clone();
    own.tensors.insert("output.weight".to_owned(), (shape, values.into_iter().rev().collect()));
    let mut stretched = tiny(LLAMA);
    let factors = (0..8).map(|pair| 1.0 + pair as f32).collect();
    stretched.tensors.insert("rope_freqs.weight".to_owned(), (vec![8], factors));
    vec![
        ("tied", tiny(LLAMA)),
        ("own output", own),
        ("biases", tiny(Shape { architecture: "qwen2", ..LLAMA })),
        ("norms of heads", tiny(Shape { architecture: "qwen3", head_size: 32, rope_size: 32, ..LLAMA })),
        ("partly rotated", tiny(Shape { rope_size: 8, ..LLAMA })),
        ("stretched", stretched),
    ]
}

/// How far each split of `file` is from the whole model on the processor.
fn distances(file: &[u8], tokens: &[u32], step: usize) -> Vec<f64> {
    let whole = logits(&Model::options().threads(2).from_bytes(file.to_vec()).unwrap(), tokens, step);
    let whole: Vec<Vec<f64>> = whole.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let distance = |layers| {
        let model = split(layers).from_bytes(file.to_vec()).unwrap();
        assert_eq!((model.info().layers, model.info().device_layers), (LAYERS, layers));
        assert_eq!(model.instructions().is_some(), layers < LAYERS);
        difference(&whole, &logits(&model, tokens, step))
    };
    (0..=LAYERS).map(distance).collect()
}

#[test]
fn model_split_anywhere_computes_what_the_whole_one_does() {
    for (family, tiny) in families() {
        for step in [7, 256] {
            let distances = distances(&tiny.gguf(DType::F32), &tokens(300), step);

            assert_eq!(distances[0], 0.0, "{family}: with no layer on the device it is the same");
            // Our kernels keep keys and values as 16-bit floats, candle in full.
            assert!(distances.iter().all(|distance| *distance < 3e-3), "{family}: {distances:?}");
        }
    }
}

#[test]
fn quantized_model_split_anywhere_stays_close_to_the_whole_one() {
    let wide = Shape { hidden: 256, feed_forward: 512, head_size: 64, rope_size: 64, ..LLAMA };
    for (dtype, limit) in [(DType::Q8_0, 0.1), (DType::Q4_K, 0.3)] {
        let distances = distances(&tiny(wide).gguf(dtype), &tokens(40), 256);
        // Both round what weights are multiplied with to eight bits, in blocks of different sizes.
        assert!(distances.iter().all(|distance| *distance < limit), "{dtype}: {distances:?}");
    }
}

/// What an observer saw: the layers with their inputs and outputs, and the rows that met each matrix.
#[derive(Debug, Default)]
struct Seen {
    layers: Vec<(usize, Vec<f32>, Vec<f32>)>,
    matrices: BTreeMap<String, usize>,
}

impl Observer for Seen {
    fn matrix(&mut self, name: &str, input: Rows<'_>) -> Result<()> {
        *self.matrices.entry(name.to_owned()).or_default() += input.count();
        Ok(())
    }

    fn layer(&mut self, index: usize, before: Rows<'_>, after: Rows<'_>) -> Result<()> {
        self.layers.push((index, before.values.to_vec(), after.values.to_vec()));
        Ok(())
    }
}

#[test]
fn observer_sees_every_layer_once_in_order_and_every_matrix() {
    for (family, tiny) in families() {
        let seen = |options: ModelOptions| {
            let mut seen = Seen::default();
            options.from_bytes(tiny.gguf(DType::F32)).unwrap().observe(&tokens(50), &mut seen).unwrap();
            seen
        };
        let whole = seen(Model::options());
        for layers in 1..=LAYERS {
            let split = seen(split(layers));

            let indexes: Vec<usize> = split.layers.iter().map(|(index, ..)| *index).collect();
            assert_eq!(indexes, [0, 1, 2, 3], "{family}, {layers} layers on the device");
            let handed_on = |pair: &[(usize, Vec<f32>, Vec<f32>)]| pair[0].2 == pair[1].1;
            assert!(split.layers.windows(2).all(handed_on), "{family}, {layers} layers on the device");
            assert_eq!(split.matrices, whole.matrices, "{family}, {layers} layers on the device");
        }
    }
}

#[test]
fn loading_counts_the_bytes_of_both_sides_to_the_end() {
    for (family, tiny) in families() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let options = split(2).on_progress(move |progress| log.lock().unwrap().push(progress.done_bytes));

        let model = options.from_bytes(tiny.gguf(DType::F16)).unwrap();

        let seen = seen.lock().unwrap();
        assert!(seen.is_sorted() && seen.last() == Some(&model.info().file_bytes), "{family}: {seen:?}");
    }
}

#[test]
fn embedding_on_both_sides_is_counted_twice_and_read_once() {
    let info = |options: ModelOptions, tiny: &Tiny| {
        options.from_bytes(tiny.gguf(DType::F32)).unwrap().info().clone()
    };
    let tied = tiny(LLAMA);
    let embedding = 4 * (tied.vocabulary() * LLAMA.hidden) as u64;

    let (whole, split_in_two) = (info(Model::options(), &tied), info(split(2), &tied));

    assert_eq!(split_in_two.resident_bytes, whole.resident_bytes + embedding);
    assert_eq!(split_in_two.active_bytes, whole.active_bytes);
}

/// What a GPU and main memory have free.
#[derive(Debug)]
struct Free {
    device: u64,
    host: u64,
}

impl DeviceMemory for Free {
    fn memory(&self, device: Device) -> Option<Memory> {
        let free_bytes = if device == Device::Cpu { self.host } else { self.device };
        Some(Memory { total_bytes: u64::MAX, free_bytes })
    }
}

#[test]
fn model_goes_where_it_fits_and_each_side_is_asked() {
    let bytes = tiny(LLAMA).gguf(DType::F32);
    let file = File::from_bytes(bytes.clone()).unwrap();
    let needs = footprints(&file, &split(2)).unwrap();
    let (device, host) = (needs.device.total_bytes(), needs.host.total_bytes());
    let load = |layers, device, host| {
        let options = split(2).device_layers(layers).memory(Arc::new(Free { device, host }));
        options.from_bytes(bytes.clone())
    };

    let fitting = load(DeviceLayers::Fitting, device, host).unwrap();
    assert_eq!(fitting.info().device_layers, 2);
    assert_eq!(load(DeviceLayers::Fitting, 0, u64::MAX).unwrap().info().device_layers, 0);
    assert_eq!(load(DeviceLayers::Fitting, u64::MAX, 0).unwrap().info().device_layers, LAYERS);

    let refused = |device, host| load(DeviceLayers::Count(2), device, host).unwrap_err();
    assert!(matches!(refused(device - 1, host), Error::DoesNotFit { device: GPU, .. }));
    assert!(matches!(refused(device, host - 1), Error::DoesNotFit { device: Device::Cpu, .. }));
}

#[test]
fn layers_that_candle_does_not_run_may_follow_those_that_it_does() {
    let mut tiny = tiny(LLAMA);
    tiny.metadata.insert("llama.attention.sliding_window", 24_u32);
    tiny.metadata.insert("llama.attention.sliding_window_pattern", vec![false, true, true, true]);
    let file = tiny.gguf(DType::F32);

    let error = split(2).from_bytes(file.clone()).unwrap_err();
    assert!(error.to_string().contains("windows"), "{error}");

    let whole = logits(&Model::from_bytes(file.clone()).unwrap(), &tokens(60), 60);
    let whole: Vec<Vec<f64>> = whole.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let distance = difference(&whole, &logits(&split(1).from_bytes(file).unwrap(), &tokens(60), 60));
    assert!(distance < 3e-3, "{distance}");
}

/// A decoder of which two layers of four are on the device.
fn decoder(file: &File) -> Decoder {
    Decoder::load(file, &Config::new(file).unwrap(), &split(2), 1024, 2).unwrap()
}

fn runner(decoder: &Decoder, positions: usize) -> Runner {
    match decoder {
        Decoder::Split(first, last) => {
            Runner::new(first.clone(), last.clone(), positions, [CacheType::F16; 2]).unwrap()
        }
        _ => panic!("the decoder is split"),
    }
}

/// A sequence as the test keeps it: what is to be run, how much has been, and its pages.
struct Case {
    tokens: Vec<u32>,
    done: usize,
    pages: Vec<u32>,
}

#[test]
fn sequences_that_come_and_go_in_any_order_say_what_they_say_alone_and_leave_nothing() {
    let file = File::from_bytes(tiny(LLAMA).gguf(DType::F32)).unwrap();
    let decoder = decoder(&file);
    let mut random = StdRng::seed_from_u64(3);
    let mut runner = runner(&decoder, 20 * 32);
    let mut free: Vec<u32> = (0..runner.pages() as u32).collect();
    let mut cases: HashMap<u64, Case> = HashMap::new();
    let mut finished = 0;
    for number in 0..60 {
        let length = random.random_range(1..90);
        if free.len() >= 3 {
            let tokens = (0..length).map(|_| random.random_range(0..250)).collect();
            let at = free.len() - 3;
            cases.insert(number, Case { tokens, done: 0, pages: free.split_off(at) });
        }
        let mut order: Vec<u64> = cases.keys().copied().collect();
        order.sort_unstable();
        let slice = |number: &u64, count: usize| {
            let Case { tokens, done, pages } = &cases[number];
            let logits = done + count == tokens.len();
            Slice { sequence: *number, tokens: &tokens[*done..][..count], start: *done, pages, logits }
        };
        let slices: Vec<Slice<'_>> = order
            .iter()
            .map(|number| {
                let left = cases[number].tokens.len() - cases[number].done;
                slice(number, random.random_range(1..=left))
            })
            .collect();
        runner.run(&slices, Wanted::Last, &mut ()).unwrap();
        let over: Vec<u64> = slices.iter().filter(|slice| slice.logits).map(|slice| slice.sequence).collect();
        let logits = runner.logits(0..over.len()).unwrap();
        let counts: Vec<usize> = slices.iter().map(|slice| slice.tokens.len()).collect();
        for (number, count) in order.iter().zip(counts) {
            cases.get_mut(number).unwrap().done += count;
        }
        for (number, logits) in over.iter().zip(logits) {
            assert_close(&logits, &alone(&decoder, &cases[number].tokens));
            finished += 1;
        }
        let left: Vec<u64> = order.iter().copied().filter(|_| random.random_bool(0.2)).collect();
        for number in over.into_iter().chain(left) {
            // Some end when they are done, some before; some are both.
            let Some(case) = cases.remove(&number) else { continue };
            free.extend(case.pages);
            runner.end(number);
        }
        assert_eq!(runner.first.sequences(), cases.len());
    }
    assert!(finished > 10, "{finished}");
}

/// The logits after the last of `tokens`, read alone and at once.
fn alone(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
    let mut runner = runner(decoder, tokens.len());
    let pages: Vec<u32> = (0..runner.pages() as u32).collect();
    let slice = Slice { sequence: 0, tokens, start: 0, pages: &pages, logits: true };
    runner.run(&[slice], Wanted::Last, &mut ()).unwrap();
    runner.logits(0..1).unwrap().remove(0)
}

fn assert_close(actual: &[f32], expected: &[f32]) {
    let worst = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 5e-3, "{worst}");
}

#[test]
fn sequence_out_of_step_is_an_error_and_not_another_answer() {
    let file = File::from_bytes(tiny(LLAMA).gguf(DType::F32)).unwrap();
    let mut runner = runner(&decoder(&file), 64);
    let slice = Slice { sequence: 0, tokens: &[1, 2], start: 0, pages: &[0], logits: false };
    runner.run(&[slice], Wanted::Last, &mut ()).unwrap();

    let again = runner.run(&[slice], Wanted::Last, &mut ()).unwrap_err();

    assert!(matches!(again, Error::Compute { .. }), "{again}");
    runner.end(0);
    runner.run(&[slice], Wanted::Last, &mut ()).unwrap();
}

/// Tells after each sequence that ended how many there are still.
struct Watched {
    runner: Runner,
    sequences: Arc<AtomicUsize>,
}

impl Step for Watched {
    fn page_size(&self) -> usize {
        self.runner.page_size()
    }

    fn pages(&self) -> usize {
        self.runner.pages()
    }

    fn shares_pages(&self) -> bool {
        self.runner.shares_pages()
    }

    fn step(&mut self, slices: &[Slice<'_>]) -> Result<Vec<Vec<f32>>> {
        self.runner.run(slices, Wanted::Last, &mut ())?;
        self.sequences.store(self.runner.first.sequences(), Ordering::SeqCst);
        self.runner.logits(0..slices.iter().filter(|slice| slice.logits).count())
    }

    fn end(&mut self, sequence: u64) {
        self.runner.end(sequence);
        self.sequences.store(self.runner.first.sequences(), Ordering::SeqCst);
    }

    fn trim(&mut self, pages: &[u32]) {
        self.runner.trim(pages);
    }
}

/// The first tokens of an answer.
fn said(events: impl Iterator<Item = Result<Event>>, count: usize) -> Vec<u32> {
    let token = |event: Result<Event>| match event.unwrap() {
        Event::Token { piece, .. } => Some(piece.token),
        Event::Finish { .. } => None,
    };
    events.filter_map(token).take(count).collect()
}

fn prompt(request: u32) -> Vec<u32> {
    (0..1 + request * 7 % 60).map(|at| (at * at + request * 13) % 250).collect()
}

/// So few pages that answers are preempted and begun again.
#[test]
fn requests_with_cancels_leave_no_page_and_no_cache_and_are_answered_as_if_alone() {
    let file = File::from_bytes(tiny(LLAMA).gguf(DType::F32)).unwrap();
    let model = split(2).load(&file).unwrap();
    let options = crate::GenerateOptions { ignore_end: true, ..greedy(40) };
    let alone = |request| {
        let answer = model.complete_tokens(&prompt(request), &options).unwrap();
        answer.map(|piece| piece.unwrap().token).collect::<Vec<u32>>()
    };
    let alone: Vec<Vec<u32>> = (0..10).map(alone).collect();
    let sequences = Arc::new(AtomicUsize::new(usize::MAX));
    let watched = Watched { runner: runner(&decoder(&file), 9 * 32), sequences: sequences.clone() };
    let tokenizer = Tokenizer::new(file.metadata(), model.info().vocabulary).unwrap();
    let serving = ServeOptions { running: 8, ..ServeOptions::default() };
    let worker = Worker::start(Box::new(watched), Arc::new(tokenizer), 256, serving, None).unwrap();

    thread::scope(|scope| {
        for caller in 0..4 {
            let (worker, alone, options) = (&worker, &alone, &options);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(caller);
                let mut start = || {
                    let request = random.random_range(0..alone.len());
                    let read = if random.random() { random.random_range(0..40) } else { 40 };
                    let answer = worker.submit(prompt(request as u32), options, None, None).unwrap();
                    (request, read, answer)
                };
                for (request, read, answer) in (0..15).map(|_| start()).collect::<Vec<_>>() {
                    assert_eq!(said(answer, read), alone[request][..read], "request {request}");
                }
            });
        }
    });

    let statistics = loop {
        let statistics = worker.statistics();
        if statistics.running + statistics.waiting == 0 {
            break statistics;
        }
        thread::yield_now();
    };
    assert_eq!((statistics.pages_used, statistics.pages_free), (0, 9), "{statistics:?}");
    assert_eq!(statistics.finished + statistics.cancelled + statistics.purged, 60, "{statistics:?}");
    assert!(statistics.cancelled > 0 && statistics.preemptions > 0, "{statistics:?}");
    assert_eq!((statistics.failed, statistics.prefix_hit_tokens), (0, 0), "{statistics:?}");
    assert_eq!(sequences.load(Ordering::SeqCst), 0, "the device has forgotten every sequence");
}
