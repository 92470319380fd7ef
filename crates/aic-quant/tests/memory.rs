//! The memory that quantizing takes, counted by the allocator. The only test of its binary, so that nothing else allocates.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
use std::alloc::System;
use std::ops::ControlFlow;

use aic_quant::{DType, Quantizer, Recipe, TensorSource};
use cap::Cap;

#[path = "it/generated.rs"]
mod generated;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What quantizing may take besides what the source and the plan hold.
const CAP: usize = 256 << 20;

#[test]
fn model_ten_times_larger_than_the_cap_is_quantized_within_it() {
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
