//! Running a model: this engine beside candle-transformers, and beside what the machine can do.
//!
//! `cargo bench --bench engine`; with figures of interest as `cargo bench --bench engine -- --layers 16 --types Q8_0,Q4_K
//! --instructions avx2 --threads 2`. A random model of the shape of Llama 3.2 1B, with fewer layers, is made for each type. Both
//! engines read the same file in the same process, one after the other; medians. Without `--bench` a tiny model is run once.
mod candle;
mod ceilings;
mod options;
mod ours;
mod random_model;

use aic_quant::DType;

use options::Options;

/// Tokens a second, and what it takes.
struct Figures {
    prefill: f64,
    decode: f64,
    /// Growth of the process while the model was loaded and used.
    resident_bytes: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_arguments();
    // Candle's threads are set once, by the environment of the process.
    println!("# {} layers, prompt {}, answer {}", options.layers, options.prompt, options.answer);
    let ceilings = ceilings::measure(options.threads, options.short);
    println!("# {} threads read {:.1} GB/s", options.threads, ceilings.read_bytes_per_second / 1e9);
    println!("# {} threads multiply and add {:.0} G/s in f32", options.threads, ceilings.multiply_adds_per_second / 1e9);
    println!("type    engine   prefill/s    G/s   decode/s   GB/s  of read  resident/file");
    for dtype in &options.types {
        let model = random_model::create(*dtype, &options)?;
        let weights = random_model::multiplied_weights(&options);
        let ours = ours::run(model.path(), &options)?;
        row(*dtype, "aic", &ours, &model, weights, ceilings.read_bytes_per_second);
        if let Some(theirs) = candle::run(model.path(), *dtype, &options)? {
            row(*dtype, "candle", &theirs, &model, weights, ceilings.read_bytes_per_second);
        }
    }
    ours::concurrency(&options)?;
    Ok(())
}

fn row(dtype: DType, engine: &str, figures: &Figures, model: &random_model::Model, weights: f64, read: f64) {
    let bytes = figures.decode * model.bytes() as f64;
    println!(
        "{:<7} {engine:<7} {:>10.1} {:>6.0} {:>10.1} {:>6.1} {:>7.0}% {:>13.2}",
        dtype.to_string(),
        figures.prefill,
        figures.prefill * weights / 1e9,
        figures.decode,
        bytes / 1e9,
        100.0 * bytes / read,
        figures.resident_bytes as f64 / model.bytes() as f64,
    );
}
