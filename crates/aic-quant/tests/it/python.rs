//! The `gguf` package of llama.cpp reads what we write, and makes the same numbers of it.
use std::process::Command;

use aic_quant::gguf::{File, Metadata, Writer};
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

const METADATA_SCRIPT: &str = r#"
import json, sys
from gguf import GGUFReader, GGUFWriter

fields = GGUFReader(sys.argv[1]).fields
values = {name: field.contents() for name, field in fields.items() if not name.startswith("GGUF.")}
types = {name: [kind.name for kind in field.types] for name, field in fields.items() if not name.startswith("GGUF.")}
print(json.dumps({"values": values, "types": types}))

writer = GGUFWriter(sys.argv[2], "llama")
for name, value in values.items():
    if name != "general.architecture":
        kinds = fields[name].types
        sub = kinds[1] if len(kinds) > 1 else None
        writer.add_key_value(name, value, kinds[0], sub)
import numpy as np
writer.add_tensor("w", np.arange(12, dtype=np.float32).reshape(3, 4))
writer.add_tensor("h", np.arange(5, dtype=np.float16))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"#;

/// One value of every type.
fn every_type() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("u8", 200_u8);
    metadata.insert("i8", -100_i8);
    metadata.insert("u16", 60_000_u16);
    metadata.insert("i16", -30_000_i16);
    metadata.insert("u32", 4_000_000_000_u32);
    metadata.insert("i32", -2_000_000_000_i32);
    metadata.insert("f32", 0.5_f32);
    metadata.insert("bool", true);
    metadata.insert("string", "grüße");
    metadata.insert("u64", u64::MAX);
    metadata.insert("i64", i64::MIN);
    metadata.insert("f64", 0.1_f64);
    metadata.insert("u8s", vec![1_u8, 2]);
    metadata.insert("i8s", vec![-1_i8, 2]);
    metadata.insert("u16s", vec![1_u16, 60_000]);
    metadata.insert("i16s", vec![-1_i16, 2]);
    metadata.insert("u32s", vec![1_u32, 4_000_000_000]);
    metadata.insert("i32s", vec![-1_i32, 2]);
    metadata.insert("f32s", vec![0.5_f32, -2.0]);
    metadata.insert("bools", vec![true, false]);
    metadata.insert("strings", vec!["a".to_owned(), String::new()]);
    metadata.insert("u64s", vec![u64::MAX]);
    metadata.insert("i64s", vec![i64::MIN]);
    metadata.insert("f64s", vec![0.1_f64]);
    metadata
}

#[test]
fn metadata_of_every_type_goes_to_python_and_comes_back() {
    let Some(python) = environment::or_skip("AIC_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.gguf"), folder.path().join("theirs.gguf"));
    Writer::new(every_type()).save(&ours, |_| Ok(Vec::new())).unwrap();

    let output = Command::new(python).args(["-c", METADATA_SCRIPT]).args([&ours, &theirs]).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::to_value(every_type()).unwrap();
    assert_eq!(seen["values"], expected);
    assert_eq!(seen["types"]["i16s"], serde_json::json!(["ARRAY", "INT16"]));
    assert_eq!(seen["types"]["f64"], serde_json::json!(["FLOAT64"]));

    let file = File::open(&theirs).unwrap();
    for (key, value) in every_type().iter() {
        assert_eq!(file.metadata().get(key), Some(value), "{key}");
    }
    assert_eq!(file.tensor("w").unwrap().shape, [3, 4]);
    let numbers = decode(&file.read(file.tensor("h").unwrap()).unwrap(), DType::F16).unwrap();
    assert_eq!(numbers, [0.0, 1.0, 2.0, 3.0, 4.0]);
}

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
