//! The `gguf` package of llama.cpp reads what we write, and makes the same numbers of it.
use std::process::Command;

use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, decode, encode};

use crate::environment;

const SCRIPT: &str = r#"
import sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

reader = GGUFReader(sys.argv[1])
for name in ("general.architecture", "llama.block_count", "tokenizer.ggml.tokens"):
    print("field", name, reader.fields[name].contents())
for tensor in reader.tensors:
    values = dequantize(tensor.data, tensor.tensor_type)
    print("tensor", tensor.name, tensor.tensor_type.name, [int(n) for n in tensor.shape])
    values.astype(np.float32).tofile(f"{sys.argv[1]}.{tensor.name}")
"#;

#[test]
fn python_reads_the_same_file_and_the_same_numbers() {
    let Some(python) = environment::or_skip("AIC_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let types = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q4_0,
        DType::Q8_0,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
    ];
    let values: Vec<f32> = (0..2048).map(|i| ((i * i) as f32 * 0.013).sin() * 3.0).collect();
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("llama.block_count", 2_u32);
    metadata.insert("tokenizer.ggml.tokens", vec!["a".to_owned(), "é".to_owned()]);
    let mut writer = Writer::new(metadata);
    for dtype in types {
        writer.tensor(dtype.name(), &[4, 512], dtype).unwrap();
    }
    writer.save(&path, |tensor| encode(&values, tensor.dtype)).unwrap();

    let output = Command::new(python).args(["-c", SCRIPT]).arg(&path).output().unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("field general.architecture llama"), "{text}");
    assert!(text.contains("field llama.block_count 2"), "{text}");
    assert!(text.contains("field tokenizer.ggml.tokens ['a', 'é']"), "{text}");
    for dtype in types {
        assert!(text.contains(&format!("tensor {dtype} {dtype} [512, 4]")), "{text}");
        let theirs =
            decode(&std::fs::read(format!("{}.{dtype}", path.display())).unwrap(), DType::F32).unwrap();
        let ours = decode(&encode(&values, dtype).unwrap(), dtype).unwrap();
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(ours.len(), theirs.len());
        assert!(worst <= 1e-5, "{dtype}: {worst}");
    }
}
