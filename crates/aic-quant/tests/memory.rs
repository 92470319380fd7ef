//! The memory that quantizing and answering take, counted by the allocator and by the system. Tests of this binary take turns,
//! so that nothing else allocates.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
use std::alloc::System;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aic_quant::{DType, Quantizer, Recipe, TensorSource};
use cap::Cap;

#[path = "it/generated.rs"]
mod generated;
#[cfg(all(feature = "engine", target_os = "linux"))]
#[path = "fixtures/resident.rs"]
mod resident;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What quantizing may take besides what the source and the plan hold.
const CAP: usize = 256 << 20;

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn model_ten_times_larger_than_the_cap_is_quantized_within_it() {
    let _turn = turn();
    let rows = 10 * CAP / 2 / 4096 / 4;
    let names = ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "blk.1.ffn_up.weight", "output.weight"];
    let shape = [rows + 1, 4096];
    let source = generated::Generated::new(&names.map(|name| (name, &shape[..])));
    let plan = Recipe::uniform(DType::Q4_0).plan(&source, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let before = ALLOCATOR.allocated();

    // Many threads have many slabs.
    let report = Quantizer::new(&plan)
        .threads(16)
        .memory_bytes(CAP)
        .run(&source, folder.path().join("model.gguf"), |_| ControlFlow::Continue(()))
        .unwrap();

    let peak = ALLOCATOR.max_allocated() - before;
    assert!(source.tensors().iter().map(|tensor| tensor.bytes).sum::<u64>() > 10 * CAP as u64);
    assert!(report.bytes_after > 2 * CAP as u64);
    assert!(peak < CAP, "{peak} bytes were allocated");
}

#[cfg(all(feature = "engine", target_os = "linux"))]
mod answering {
    use std::path::Path;

    use aic_quant::{GenerateOptions, Model};

    use super::{ALLOCATOR, resident, turn};

    const MODEL: &str = "tests/goldens/models/llama3.gguf";
    /// Requests that are asked before the first answer is read.
    const WAVE: u32 = 100;

    /// Answers `count` requests from `first` on: each begins like the others of its wave; of seven one is left at once, and one
    /// after its first token.
    fn answer(model: &Model, first: u32, count: u32) {
        for wave in (first..first + count).step_by(WAVE as usize) {
            let start = |request: u32| {
                let begin = (0..33).map(|at| (wave / WAVE * 7 + at * at) % 256);
                let prompt: Vec<u32> =
                    begin.chain((0..4).map(|at| request.pow(2) / (at + 1) % 256)).collect();
                let options =
                    GenerateOptions { max_tokens: 3, ignore_end: true, ..GenerateOptions::default() };
                (request, model.complete_tokens(&prompt, &options).unwrap())
            };
            for (request, answer) in (wave..wave + WAVE).map(start).collect::<Vec<_>>() {
                match request % 7 {
                    0 => drop(answer),
                    1 => assert_eq!(answer.take(1).count(), 1),
                    _ => assert_eq!(answer.filter(Result::is_ok).count(), 3),
                }
            }
        }
    }

    #[test]
    fn memory_is_flat_over_ten_thousand_requests() {
        let _turn = turn();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
        let model = Model::options().threads(1).open(path).unwrap();
        answer(&model, 0, 1000);
        let (allocated, resident) = (ALLOCATOR.allocated(), resident::bytes());

        answer(&model, 1000, 9000);

        let (allocated_after, resident_after) = (ALLOCATOR.allocated(), resident::bytes());
        let statistics = model.statistics();
        println!(
            "allocated {allocated} and {allocated_after}, resident {resident} and {resident_after}: {statistics:?}"
        );
        assert!(statistics.prefix_hit_tokens > 100_000, "{statistics:?}");
        assert!(statistics.cancelled + statistics.purged > 50, "{statistics:?}");
        assert_eq!(statistics.failed, 0);
        // One byte that each request leaves behind would be nine thousand.
        assert!(allocated_after < allocated + (64 << 10), "{allocated} became {allocated_after}");
        assert!(resident_after < resident + (2 << 20), "{resident} became {resident_after}");
    }
}
