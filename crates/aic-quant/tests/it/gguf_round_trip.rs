use aic_quant::gguf::{Array, File, Metadata, Value, Writer};
use aic_quant::{DType, Error};
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<bool>().prop_map(Value::Bool),
        any::<f32>().prop_filter("equal to itself", |x| !x.is_nan()).prop_map(Value::F32),
        any::<f64>().prop_filter("equal to itself", |x| !x.is_nan()).prop_map(Value::F64),
        ".*".prop_map(Value::String),
        vec(".*", 0..5).prop_map(|items| Value::Array(Array::String(items))),
        vec(any::<i8>(), 0..5).prop_map(|items| Value::Array(Array::I8(items))),
        vec(any::<u64>(), 0..5).prop_map(|items| Value::Array(Array::U64(items))),
        vec(any::<bool>(), 0..5).prop_map(|items| Value::Array(Array::Bool(items))),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    (hash_set("[a-z.]{1,20}", 0..8), vec(value(), 8)).prop_map(|(keys, values)| {
        let mut metadata = Metadata::new();
        for (key, value) in keys.into_iter().zip(values) {
            metadata.insert(key, value);
        }
        metadata
    })
}

/// Names, shapes and types of tensors that exist.
fn tensors() -> impl Strategy<Value = Vec<(String, Vec<usize>, DType)>> {
    let dtype = prop::sample::select(vec![DType::F32, DType::F16, DType::Q8_0, DType::Q4_K]);
    let shape = vec(0_usize..4, 0..3);
    (hash_set("[a-z_]{1,63}", 0..6), vec((shape, dtype), 6)).prop_map(|(names, rest)| {
        let tensor = |(name, (mut shape, dtype)): (String, (Vec<usize>, DType))| {
            shape.push(2 * dtype.block_size());
            (name, shape, dtype)
        };
        names.into_iter().zip(rest).map(tensor).collect()
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back_in_the_same_order(
        mut metadata in metadata(),
        tensors in tensors(),
        alignment in prop::sample::select(vec![1_u32, 8, 32, 64, 4096]),
    ) {
        metadata.insert("general.alignment", alignment);
        let mut writer = Writer::new(metadata.clone());
        for (name, shape, dtype) in &tensors {
            writer.tensor(name, shape, *dtype).unwrap();
        }
        let data = |name: &str, bytes: u64| vec![name.len() as u8; bytes as usize];

        let bytes = writer.to_vec(|t| Ok(data(&t.name, t.bytes))).unwrap();
        let layout = writer.layout().unwrap();
        let file = File::from_bytes(bytes.clone()).unwrap();

        let mut pieces = layout.header.clone();
        for tensor in &layout.tensors {
            prop_assert_eq!(pieces.len() as u64, layout.data_offset + tensor.offset);
            pieces.extend(data(&tensor.name, tensor.bytes));
            pieces.extend(vec![0; layout.padding(tensor) as usize]);
        }
        prop_assert_eq!(layout.file_bytes, bytes.len() as u64);
        prop_assert!(pieces == bytes);
        prop_assert_eq!(file.tensors(), &layout.tensors);

        prop_assert_eq!(file.version(), 3);
        prop_assert_eq!(file.metadata(), &metadata);
        prop_assert_eq!(file.tensors().len(), tensors.len());
        for (tensor, (name, shape, dtype)) in file.tensors().iter().zip(&tensors) {
            prop_assert_eq!((&tensor.name, &tensor.shape, tensor.dtype), (name, shape, *dtype));
            prop_assert_eq!(file.read(tensor).unwrap(), data(name, tensor.bytes));
        }
    }

    #[test]
    fn random_bytes_after_the_magic_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(bytes);
        let _ = File::from_bytes(file);
    }
}

#[test]
fn file_on_disk_is_the_same_as_in_memory() {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    let mut writer = Writer::new(metadata);
    writer.tensor("w", &[3, 4], DType::F32).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");

    let size = writer.save(&path, |_| Ok(vec![5; 48])).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    assert_eq!(bytes, writer.to_vec(|_| Ok(vec![5; 48])).unwrap());
    let file = File::open(&path).unwrap();
    assert_eq!(file.read(&file.tensors()[0]).unwrap(), [5; 48]);
}

#[test]
fn writer_refuses_what_no_reader_would_take() {
    let mut writer = Writer::new(Metadata::new());
    writer.tensor("w", &[4], DType::F32).unwrap();
    for (name, shape, dtype) in [
        ("w", vec![4], DType::F32),
        ("", vec![4], DType::F32),
        (&"n".repeat(64), vec![4], DType::F32),
        ("scalar", vec![], DType::F32),
        ("deep", vec![1; 5], DType::F32),
        ("short", vec![2, 100], DType::Q4_K),
    ] {
        assert!(matches!(writer.tensor(name, &shape, dtype), Err(Error::Tensor { .. })), "{name}");
    }
    assert!(matches!(writer.to_vec(|_| Ok(vec![0; 15])), Err(Error::Tensor { .. })));

    let mut metadata = Metadata::new();
    metadata.insert("general.alignment", 12_u32);
    assert!(matches!(Writer::new(metadata).to_vec(|_| Ok(vec![])), Err(Error::Metadata { .. })));
}
