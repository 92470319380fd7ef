//! Quantizing a whole file, beside copying it through slabs of the same size.
//!
//! `cargo bench --bench quantize`. The file is of F16 numbers and made up; it is read from and written to the folder that
//! `AIC_BENCH_FOLDER` names, by default the system's temporary one, and is in the page cache. Rates are in bytes of the
//! file's tensors. The last column is what two threads give over one, divided by two. Copying and quantizing take turns, and
//! the best of the rounds is told.
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use aic_quant::gguf::{self, Metadata, Writer};
use aic_quant::{DType, Quantizer, Recipe, encode};

/// As the pipeline has them.
const SLAB_BYTES: u64 = 2 << 20;
const TYPES: [DType; 12] = [
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::IQ4_NL,
    DType::Q6_K,
    DType::Q5_K,
    DType::Q4_K,
    DType::Q3_K,
    DType::Q2_K,
    DType::BF16,
];

fn main() {
    // As a test it only shows that it runs.
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let (rows, rounds) = if measuring { (16_384, 5) } else { (64, 1) };
    let folder = std::env::var_os("AIC_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to write to");
    let source = folder.path().join("source.gguf");
    let tensors = if measuring { 4 } else { 2 };
    write_model(&source, rows, tensors);
    let source = gguf::File::open(&source).expect("the file just written");
    let bytes: u64 = source.tensors().iter().map(|tensor| tensor.bytes).sum();
    println!("{} MiB of F16 in {tensors} tensors, {rounds} rounds", bytes >> 20);
    println!("{:8} {:>12} {:>12} {:>10} {:>10}", "", "1 thread", "2 threads", "of copying", "scaling");
    let mut best = vec![[f64::INFINITY; 2]; TYPES.len() + 1];
    for _ in 0..rounds {
        for (index, seconds) in best.iter_mut().enumerate() {
            for threads in [1, 2] {
                let target = folder.path().join("target.gguf");
                let taken = match index.checked_sub(1) {
                    None => copy(&folder.path().join("source.gguf"), &target, threads),
                    Some(dtype) => quantize(&source, &target, TYPES[dtype], threads as usize),
                };
                fs::remove_file(target).expect("the file just written");
                seconds[threads as usize - 1] = seconds[threads as usize - 1].min(taken);
            }
        }
    }
    let rate = |seconds: f64| bytes as f64 / seconds / (1 << 20) as f64;
    let names = std::iter::once("copy").chain(TYPES.map(DType::name));
    for (name, seconds) in names.zip(&best) {
        println!(
            "{name:8} {:>6.0} MiB/s {:>6.0} MiB/s {:>9.0} % {:>10.2}",
            rate(seconds[0]),
            rate(seconds[1]),
            best[0][1] / seconds[1] * 100.0,
            seconds[0] / seconds[1] / 2.0
        );
    }
}

fn quantize(source: &gguf::File, target: &Path, dtype: DType, threads: usize) -> f64 {
    let plan = Recipe::uniform(dtype).plan(source, None).expect("a type that can be encoded");
    let started = Instant::now();
    let written = Quantizer::new(&plan).threads(threads).run(source, target, |_| ControlFlow::Continue(()));
    written.expect("room on the disk");
    started.elapsed().as_secs_f64()
}

/// Copies the file as the pipeline goes through it: slab after slab by several threads, then synced.
fn copy(source: &Path, target: &Path, threads: u64) -> f64 {
    let started = Instant::now();
    let (from, to) = (File::open(source).expect("the source"), File::create(target).expect("the target"));
    let length = from.metadata().expect("its size").len();
    to.set_len(length).expect("room on the disk");
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut slab = vec![0; SLAB_BYTES as usize];
                loop {
                    let start = next.fetch_add(SLAB_BYTES, Ordering::Relaxed);
                    if start >= length {
                        return;
                    }
                    let slab = &mut slab[..SLAB_BYTES.min(length - start) as usize];
                    from.read_exact_at(slab, start).expect("the source");
                    to.write_all_at(slab, start).expect("the target");
                }
            });
        }
    });
    to.sync_all().expect("the disk");
    started.elapsed().as_secs_f64()
}

fn write_model(path: &Path, rows: usize, tensors: usize) {
    const COLUMNS: usize = 4096;
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    let mut writer = Writer::new(metadata);
    for index in 0..tensors {
        writer
            .tensor(format!("blk.{index}.ffn_up.weight"), &[rows, COLUMNS], DType::F16)
            .expect("a sound shape");
    }
    // Sums of sines are near enough to a normal distribution.
    let wave =
        |i: usize| ((i * 7919) as f32).sin() + ((i * 104_729) as f32 * 0.7).sin() + (i as f32 * 1.3).cos();
    let values: Vec<f32> = (0..rows * COLUMNS).map(|i| wave(i) * 0.02).collect();
    writer.save(path, |tensor| encode(&values, tensor.dtype)).expect("room on the disk");
}
