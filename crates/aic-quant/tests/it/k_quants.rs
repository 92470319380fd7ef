//! The `gguf` package of llama.cpp makes the same numbers of K-type blocks, bit for bit.
use std::process::Command;

use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, decode};

use crate::environment;

const SCRIPT: &str = r#"
import sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

for tensor in GGUFReader(sys.argv[1]).tensors:
    dequantize(tensor.data, tensor.tensor_type).astype(np.float32).tofile(f"{sys.argv[1]}.{tensor.name}")
"#;

#[test]
fn python_makes_the_same_numbers_of_any_k_type_blocks() {
    let Some(python) = environment::or_skip("AIC_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.gguf");
    let types = [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K];
    let blocks = |dtype: DType| {
        let mut bytes = noise(64 * dtype.block_bytes());
        bytes.chunks_mut(dtype.block_bytes()).for_each(|block| keep_finite(block, dtype));
        bytes
    };
    let mut writer = Writer::new(Metadata::new());
    for dtype in types {
        writer.tensor(dtype.name(), &[64, 256], dtype).unwrap();
    }
    writer.save(&path, |tensor| Ok(blocks(tensor.dtype))).unwrap();

    let output = Command::new(python).args(["-c", SCRIPT]).arg(&path).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for dtype in types {
        let theirs =
            decode(&std::fs::read(format!("{}.{dtype}", path.display())).unwrap(), DType::F32).unwrap();
        let ours = decode(&blocks(dtype), dtype).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&ours), bits(&theirs), "{dtype}");
    }
}

/// The highest bytes of Knuth's linear congruential generator (MMIX).
fn noise(length: usize) -> Vec<u8> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(1), next).map(|state| (state >> 56) as u8).take(length).collect()
}

/// Clears the highest bit of the exponents of the super-block's half-precision numbers.
fn keep_finite(block: &mut [u8], dtype: DType) {
    let high_bytes: &[usize] = match dtype {
        DType::Q2_K => &[81, 83],
        DType::Q3_K => &[109],
        DType::Q4_K | DType::Q5_K => &[1, 3],
        _ => &[209],
    };
    high_bytes.iter().for_each(|index| block[*index] &= 0xBF);
}
