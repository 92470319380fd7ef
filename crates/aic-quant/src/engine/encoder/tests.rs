//! A small random BERT says what PyTorch says about it; `tests/goldens/models/make.py` makes both.
use super::*;
use crate::engine::encoder::config::Pooling;
use crate::{DType, DeviceMemory, InstructionSet, Memory, decode, encode, footprint, gguf};

const MODEL: &[u8] = include_bytes!("../../../tests/goldens/models/bert.gguf");
const GOLDEN: &str = include_str!("../../../tests/goldens/models/bert.json");

#[derive(serde::Deserialize)]
struct Golden {
    tokens: Vec<u32>,
    mean: Vec<f32>,
    first: Vec<f32>,
}

fn goldens() -> Vec<Golden> {
    serde_json::from_str(GOLDEN).unwrap()
}

/// The model with its matrices in `dtype`, as far as they can be.
fn model(dtype: DType) -> File {
    let source = File::from_bytes(MODEL).unwrap();
    let held = |tensor: &crate::TensorInfo| if tensor.shape.len() == 2 { dtype } else { tensor.dtype };
    let mut writer = gguf::Writer::new(source.metadata().clone());
    for tensor in source.tensors() {
        writer.tensor(&tensor.name, &tensor.shape, held(tensor)).unwrap();
    }
    let numbers = |tensor: &crate::TensorInfo| {
        let stored = source.tensor(&tensor.name).unwrap();
        encode(&decode(&source.read(stored)?, stored.dtype)?, tensor.dtype)
    };
    File::from_bytes(writer.to_vec(numbers).unwrap()).unwrap()
}

fn load(source: &File, instructions: InstructionSet, pool: &Pool) -> Network {
    Network::load(&Weights { source, pool, instructions }, Config::new(source).unwrap()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn vectors_are_those_of_pytorch_alone_and_in_a_batch_on_any_instructions() {
    let (source, goldens) = (File::from_bytes(MODEL).unwrap(), goldens());
    let texts: Vec<&[u32]> = goldens.iter().map(|golden| golden.tokens.as_slice()).collect();
    for (instructions, threads) in InstructionSet::available().into_iter().zip([1, 2, 3].into_iter().cycle())
    {
        let pool = Pool::new(threads).unwrap();
        let mut network = load(&source, instructions, &pool);
        let alone: Vec<_> = texts.iter().flat_map(|text| pooled(&network, &pool, &[text])).collect();
        assert_eq!(pooled(&network, &pool, &texts), alone, "{instructions}");

        network.config.pooling = Pooling::First;
        let first = pooled(&network, &pool, &texts);

        for ((mean, first), golden) in alone.iter().zip(&first).zip(&goldens) {
            for (ours, theirs) in [(mean, &golden.mean), (first, &golden.first)] {
                let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 2e-5, "{instructions}: {worst}");
            }
        }
    }
}

#[test]
fn quantized_weights_turn_vectors_only_a_little() {
    let pool = Pool::new(2).unwrap();
    for (dtype, similar) in [(DType::Q8_0, 0.999), (DType::Q5_0, 0.99), (DType::Q4_0, 0.96)] {
        let network = load(&model(dtype), InstructionSet::best(), &pool);
        for golden in goldens() {
            let vector = pooled(&network, &pool, &[&golden.tokens]).remove(0);
            let cosine = cosine(&vector, &golden.mean);
            assert!(cosine > similar, "{dtype}: {cosine}");
        }
    }
}

#[test]
fn batches_hold_all_texts_in_order_and_few_tokens_unless_one_has_more() {
    let long = vec![1; BATCH_TOKENS + 1];
    let half = vec![2; BATCH_TOKENS / 2];
    let texts: Vec<&[u32]> = vec![&half, &half, &half, &long, &half, &[3], &half];
    let lengths: Vec<usize> = batches(&texts).map(<[_]>::len).collect();
    assert_eq!(lengths, [2, 1, 1, 2, 1]);
    assert_eq!(batches(&[]).count(), 0);
}

#[test]
fn pooling_takes_the_mean_the_first_or_the_last_and_makes_it_one_long() {
    let states = [3.0, 0.0, 0.0, 4.0, 3.0, 4.0];
    let pool = |pooling: Pooling| pooling.pool(&states, 2);
    assert_eq!(pool(Pooling::First), [1.0, 0.0]);
    assert_eq!(pool(Pooling::Last), [0.6, 0.8]);
    let mean = pool(Pooling::Mean);
    assert!((mean[0] - 0.6).abs() < 1e-6 && (mean[1] - 0.8).abs() < 1e-6);
}

#[test]
fn broken_encoders_are_errors_that_name_what_is_wrong() {
    let source = File::from_bytes(MODEL).unwrap();
    let load = |metadata: gguf::Metadata, without: &str| {
        let mut writer = gguf::Writer::new(metadata);
        let kept: Vec<_> = source.tensors().iter().filter(|tensor| tensor.name != without).collect();
        kept.iter().for_each(|tensor| writer.tensor(&tensor.name, &tensor.shape, tensor.dtype).unwrap());
        let bytes = writer.to_vec(|tensor| source.read(source.tensor(&tensor.name).unwrap())).unwrap();
        let file = File::from_bytes(bytes).unwrap();
        let pool = Pool::new(1).unwrap();
        let config = Config::new(&file)?;
        Network::load(&Weights { source: &file, pool: &pool, instructions: InstructionSet::Scalar }, config)
            .map(drop)
    };
    for (key, value) in [("attention.head_count", 3_u32), ("pooling_type", 4), ("block_count", 1 << 20)] {
        let mut metadata = source.metadata().clone();
        metadata.insert(format!("bert.{key}"), value);
        let error = load(metadata, "").unwrap_err();
        assert!(matches!(&error, Error::Metadata { key: named, .. } if named.ends_with(key)), "{error}");
    }
    let mut longer = source.metadata().clone();
    longer.insert("bert.context_length", 49_u32);
    assert!(matches!(load(longer, ""), Err(Error::Tensor { name, .. }) if name == "position_embd.weight"));
    for name in ["token_embd.weight", "blk.1.ffn_up.bias", "position_embd.weight"] {
        let error = load(source.metadata().clone(), name).unwrap_err();
        assert!(matches!(&error, Error::MissingTensor { name: named } if named == name), "{error}");
    }
    assert!(load(source.metadata().clone(), "token_types.weight").is_ok());
}

/// So many bytes of main memory, and no more.
#[derive(Debug)]
struct Free(u64);

impl DeviceMemory for Free {
    fn memory(&self, _: Device) -> Option<Memory> {
        Some(Memory { total_bytes: 1 << 40, free_bytes: self.0 })
    }
}

#[test]
fn encoder_is_loaded_with_the_threads_and_instructions_it_is_given() {
    let source = File::from_bytes(MODEL).unwrap();
    let options = ModelOptions::new().threads(3).instructions(InstructionSet::Scalar);

    let Kind::Encoder(encoder) = Embedder::load(&source, &options).unwrap().0 else { unreachable!() };

    assert_eq!((encoder.pool.threads(), encoder.network.instructions), (3, InstructionSet::Scalar));
}

#[test]
fn encoder_that_does_not_fit_is_refused_before_it_is_loaded() {
    let source = File::from_bytes(MODEL).unwrap();
    let needed = footprint(&source, &ModelOptions::new()).unwrap().total_bytes();
    let load = |free| Embedder::load(&source, &ModelOptions::new().memory(Arc::new(Free(free))));

    let error = load(needed - 1).unwrap_err();

    assert!(matches!(error, Error::DoesNotFit { needed_bytes, .. } if needed_bytes == needed), "{error}");
    assert!(load(needed).is_ok());
}

#[test]
fn encoder_on_another_device_than_the_processor_is_refused() {
    let source = File::from_bytes(MODEL).unwrap();

    let error = Embedder::load(&source, &ModelOptions::new().device(Device::Cuda(0))).unwrap_err();

    assert!(matches!(error, Error::Device { device: Device::Cuda(0), .. }), "{error}");
}

#[test]
fn weights_of_an_encoder_are_counted_as_they_are_held() {
    let (small, large) = (model(DType::Q8_0), model(DType::F32));
    let weights = |source| footprint(source, &ModelOptions::new()).unwrap().weights_bytes;
    let file: u64 = large.tensors().iter().map(|tensor| tensor.bytes).sum();

    // Rows are packed in panels, which the last of each matrix may not fill.
    assert!((file..file * 5 / 4).contains(&weights(&large)), "{} of {file}", weights(&large));
    assert!(weights(&small) < weights(&large) / 2);
}
