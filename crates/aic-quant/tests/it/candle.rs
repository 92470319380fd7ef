//! The reader of candle, another program, makes the same of the files we write.
use std::io::Cursor;

use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, encode};
use candle_core::Device;
use candle_core::quantized::gguf_file::Content;

#[test]
fn candle_reads_the_same_file() {
    let values: Vec<f32> = (0..1024).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.alignment", 64_u32);
    metadata.insert("tokens", vec!["a".to_owned(), "é".to_owned()]);
    let mut writer = Writer::new(metadata);
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_K] {
        writer.tensor(dtype.name(), &[4, 256], dtype).unwrap();
    }
    let bytes = writer.to_vec(|tensor| encode(&values, tensor.dtype)).unwrap();

    let mut reader = Cursor::new(bytes);
    let content = Content::read(&mut reader).unwrap();

    assert_eq!(content.metadata["general.architecture"].to_string().unwrap(), "llama");
    assert_eq!(content.metadata["tokens"].to_vec().unwrap().len(), 2);
    for tensor in writer.tensors() {
        let theirs = content.tensor(&mut reader, &tensor.name, &Device::Cpu).unwrap();
        assert_eq!(theirs.shape().dims(), tensor.shape);
        assert_eq!(*theirs.data().unwrap(), encode(&values, tensor.dtype).unwrap(), "{}", tensor.name);
    }
}
