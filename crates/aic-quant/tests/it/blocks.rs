//! Blocks of 32 beside those of llama.cpp's package `gguf`: as it was when the golden file was written, and as it is here.
use std::fs;
use std::process::Command;

use aic_quant::{DType, decode, encode};

use crate::environment;

const GOLDEN: &str = include_str!("../goldens/blocks.txt");

/// Writes what `gguf` makes of the bytes in `FOLDER/TYPE`, for each type named, to `FOLDER/TYPE.numbers`.
const SCRIPT: &str = r#"
import sys
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quant_shape_to_byte_shape

folder = sys.argv[1]
for name in sys.argv[2:]:
    dtype = GGMLQuantizationType[name]
    data = np.fromfile(f"{folder}/{name}", np.uint8)
    block = {"IQ4_XS": 256}.get(name, 32)
    data = data.reshape(-1, quant_shape_to_byte_shape((block,), dtype)[0])
    with np.errstate(all="ignore"):
        dequantize(data, dtype).astype(np.float32).tofile(f"{folder}/{name}.numbers")
"#;

fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    }
}

/// The rows of `blocks.py`.
fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut next = generator(seed);
    let mut uniform = move || next() as f32 / (1_u32 << 23) as f32 - 1.0;
    (0..length).map(|_| uniform() + uniform() + uniform() + uniform()).collect()
}

#[test]
fn blocks_are_those_of_the_golden_file_or_better() {
    let values = noise(2048, 8);
    for line in GOLDEN.lines() {
        let (name, expected) = line.split_once(' ').unwrap();
        let dtype: DType = name.parse().unwrap();
        let bytes = encode(&values, dtype).unwrap();
        if dtype == DType::Q8_0 {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
            continue;
        }
        let back = decode(&bytes, dtype).unwrap();
        let error: f64 = values.iter().zip(back).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        assert!(error < 0.95 * expected.parse::<f64>().unwrap(), "{dtype}: {error} and {expected}");
    }
}

#[test]
fn python_makes_the_same_numbers_of_any_bytes() {
    let Some(python) = environment::or_skip("AIC_TEST_PYTHON") else { return };
    let types = [
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::IQ4_NL,
        DType::IQ4_XS,
        DType::MXFP4,
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut next = generator(9);
    let files = types.map(|dtype| {
        let bytes: Vec<u8> = (0..dtype.block_bytes() * 500).map(|_| next() as u8).collect();
        fs::write(folder.path().join(dtype.name()), &bytes).unwrap();
        bytes
    });

    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(folder.path()).args(types.map(DType::name));
    let output = command.output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (dtype, bytes) in types.into_iter().zip(files) {
        let theirs = fs::read(folder.path().join(format!("{dtype}.numbers"))).unwrap();
        let theirs = decode(&theirs, DType::F32).unwrap();
        let ours = decode(&bytes, dtype).unwrap();
        assert_eq!(ours.len(), theirs.len(), "{dtype}");
        let same = ours.iter().zip(&theirs).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
        assert!(same, "{dtype}");
    }
}
