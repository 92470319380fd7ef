//! Running a model: this engine beside candle-transformers, and beside what the machine can do.
//!
//! `cargo bench --bench engine`; with figures of interest as `cargo bench --bench engine -- --layers 16 --types Q8_0,Q4_K
//! --instructions avx2 --threads 2`. A random model of the shape of Llama 3.2 1B, with fewer layers, is made for each type. Both
//! engines read the same file, one after the other, each in a process of its own; medians. Without `--bench` a tiny model is run once.
mod candle;
mod ceilings;
mod options;
mod ours;
mod random_model;

use std::process::Command;

use aic_quant::DType;

use options::Options;

/// Tokens a second, and what it takes.
struct Figures {
    prefill: f64,
    decode: f64,
    /// Growth of the process while the model was loaded and used.
    resident_bytes: u64,
}

type Done<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Done<()> {
    let options = Options::from_arguments();
    if let Some((engine, file)) = &options.only {
        let figures = if engine == "aic" { ours::run(file, &options)? } else { candle::run(file, &options)? };
        println!("{} {} {}", figures.prefill, figures.decode, figures.resident_bytes);
        return Ok(());
    }
    println!("# {} layers, prompt {}, answer {}", options.layers, options.prompt, options.answer);
    let ceilings = ceilings::measure(options.threads, options.short);
    println!("# {} threads read {:.1} GB/s", options.threads, ceilings.read_bytes_per_second / 1e9);
    println!(
        "# {} threads multiply and add {:.0} G/s in f32",
        options.threads,
        ceilings.multiply_adds_per_second / 1e9
    );
    println!("type    engine   prefill/s    G/s   decode/s   GB/s  of read  resident/file");
    for dtype in &options.types {
        let model = random_model::create(*dtype, &options)?;
        for engine in ["aic", "candle"] {
            if let Some(figures) = alone(engine, &model, &options)? {
                row(*dtype, engine, &figures, &model, &options, ceilings.read_bytes_per_second);
            }
        }
    }
    ours::concurrency(&options)
}

/// Runs one engine in a process of its own, so that neither has the other's memory or threads; `None` if it cannot run the type.
fn alone(engine: &str, model: &random_model::Model, options: &Options) -> Done<Option<Figures>> {
    let program = std::env::current_exe()?;
    let output = Command::new(program)
        .args(std::env::args().skip(1))
        .args(["--only", engine, "--file"])
        .arg(model.path())
        .env("CANDLE_NUM_THREADS", options.threads.to_string())
        .env("RAYON_NUM_THREADS", options.threads.to_string())
        .output()?;
    if !output.status.success() {
        eprintln!("{engine}: {}", String::from_utf8_lossy(&output.stderr).trim());
        return Ok(None);
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace();
    let mut number = || numbers.next().ok_or("three numbers were expected").map(str::parse::<f64>);
    let (prefill, decode, resident) = (number()??, number()??, number()??);
    Ok(Some(Figures { prefill, decode, resident_bytes: resident as u64 }))
}

fn row(
    dtype: DType,
    engine: &str,
    figures: &Figures,
    model: &random_model::Model,
    options: &Options,
    read: f64,
) {
    let bytes = figures.decode * model.bytes() as f64;
    println!(
        "{:<7} {engine:<7} {:>10.1} {:>6.0} {:>10.1} {:>6.1} {:>7.0}% {:>13.2}",
        dtype.to_string(),
        figures.prefill,
        figures.prefill * random_model::multiplied_weights(options) / 1e9,
        figures.decode,
        bytes / 1e9,
        100.0 * bytes / read,
        figures.resident_bytes as f64 / model.bytes() as f64,
    );
}
