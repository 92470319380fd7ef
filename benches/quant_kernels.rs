//! How fast packed weights are multiplied, beside how fast this machine reads memory.
//!
//! `cargo bench -p aic-benches --bench quant_kernels -- [--threads N] [--types Q4_K,F16] [--tokens 1,512] [--shape 8192x2048]`
//! prints, for every instruction set, type and number of tokens, billions of multiply-adds and gigabytes of weights a second,
//! the fastest of what was measured. The shape is that of a model's largest layer; for one token take a matrix that no cache
//! holds, such as 65536x2048.
use std::time::Duration;

use aic_benches::read_bytes_per_second;
use aic_quant::{DType, InstructionSet, kernel_speed};

const TYPES: &str = "Q8_0,Q4_0,Q4_K,Q5_K,Q6_K,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K,IQ4_NL,IQ4_XS,MXFP4,F16,BF16,F32";

fn main() {
    // Without `--bench`, as tests run it: small and once.
    let short = !std::env::args().any(|argument| argument == "--bench");
    let [shape_default, tokens_default] =
        if short { ["64x512", "1,8"] } else { ["8192x2048", "1,2,4,8,64,512"] };
    let duration = Duration::from_millis(if short { 0 } else { 200 });
    let threads: usize = option("--threads", "2").parse().expect("a number of threads");
    let (rows, columns) = shape(&option("--shape", shape_default));
    println!(
        "{threads} threads read {:.1} GB/s",
        read_bytes_per_second(threads, if short { 1 << 20 } else { 512 << 20 }, 10) / 1e9
    );
    println!("{rows} x {columns}");
    println!("{:<12} {:<7} {:>6} {:>9} {:>8}", "instructions", "type", "tokens", "GMAC/s", "GB/s");
    for instructions in InstructionSet::available() {
        for dtype in option("--types", TYPES).split(',').map(|name| name.parse::<DType>().expect("a type")) {
            for tokens in
                option("--tokens", tokens_default).split(',').map(|number| number.parse().expect("a number"))
            {
                if instructions == InstructionSet::Scalar && tokens > 8 {
                    continue;
                }
                let speed = kernel_speed(dtype, [rows, columns], tokens, instructions, threads, duration)
                    .expect("a type and a shape that can be multiplied");
                let (macs, bytes) =
                    (speed.multiply_adds_per_second / 1e9, speed.weight_bytes_per_second / 1e9);
                println!(
                    "{:<12} {:<7} {tokens:>6} {macs:>9.1} {bytes:>8.2}",
                    instructions.to_string(),
                    dtype.name()
                );
            }
        }
    }
}

fn shape(text: &str) -> (usize, usize) {
    let (rows, columns) = text.split_once('x').expect("rows x columns");
    (rows.parse().expect("rows"), columns.parse().expect("columns"))
}

/// What follows a name on the command line.
fn option(name: &str, default: &str) -> String {
    std::env::args().skip_while(|argument| argument != name).nth(1).unwrap_or_else(|| default.to_owned())
}
