//! The GGUF form: for each matrix, a tensor `….in_sum2` of sums and one `….counts`.
//!
//! Source: `tools/imatrix/README.md` and `imatrix.cpp` of llama.cpp.
use std::path::Path;

use super::{Importance, Provenance};
use crate::gguf::{Array, File, Metadata, Writer};
use crate::{DType, Error, Result, TensorInfo};

const TYPE_KEY: &str = "general.type";
const TYPE: &str = "imatrix";
const DATASETS_KEY: &str = "imatrix.datasets";
const CHUNKS_KEY: &str = "imatrix.chunk_count";
const CHUNK_TOKENS_KEY: &str = "imatrix.chunk_size";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

pub(super) fn read(file: &File) -> Result<Importance> {
    let metadata = file.metadata();
    if let Some(other) = metadata.string(TYPE_KEY)?.filter(|kind| *kind != TYPE) {
        return Err(Error::metadata(TYPE_KEY, format!("is {other}, expected {TYPE}")));
    }
    let mut importance = Importance { provenance: provenance(metadata)?, ..Importance::new() };
    for sums in file.tensors() {
        if let Some(name) = sums.name.strip_suffix(SUMS) {
            let counts = partner(file, name, COUNTS)?;
            let counts = floats(file, counts)?.into_iter().map(|count| whole(name, count));
            importance.insert(name.to_owned(), floats(file, sums)?, counts.collect::<Result<_>>()?)?;
        } else if let Some(name) = sums.name.strip_suffix(COUNTS) {
            partner(file, name, SUMS)?;
        }
    }
    Ok(importance)
}

fn provenance(metadata: &Metadata) -> Result<Provenance> {
    let number = |key| -> Result<Option<u32>> {
        let wrong = |_| Error::metadata(key, "is not a number below 2^32");
        metadata.unsigned(key)?.map(|number| number.try_into().map_err(wrong)).transpose()
    };
    let datasets = metadata.array(DATASETS_KEY)?.and_then(Array::as_strings).unwrap_or_default().to_vec();
    Ok(Provenance { datasets, chunks: number(CHUNKS_KEY)?, chunk_tokens: number(CHUNK_TOKENS_KEY)? })
}

/// The tensor that belongs to the matrix called `name`.
fn partner<'a>(file: &'a File, name: &str, suffix: &str) -> Result<&'a TensorInfo> {
    let wanted = format!("{name}{suffix}");
    file.tensor(&wanted).ok_or(Error::MissingTensor { name: wanted })
}

fn floats(file: &File, tensor: &TensorInfo) -> Result<Vec<f64>> {
    if tensor.dtype != DType::F32 {
        return Err(Error::tensor(&tensor.name, format!("is {}, expected F32", tensor.dtype)));
    }
    let bytes = file.read(tensor)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number).into()).collect())
}

/// A count, which the format stores as a float.
fn whole(name: &str, count: f64) -> Result<u64> {
    if count.is_finite() && count >= 0.0 {
        return Ok(count.round() as u64);
    }
    Err(Error::tensor(name, format!("has the count {count}, expected a number from 0 on")))
}

pub(super) fn save(importance: &Importance, path: &Path) -> Result<()> {
    let mut writer = Writer::new(metadata(importance));
    for (name, entry) in &importance.entries {
        let experts = entry.counts.len();
        writer.tensor(format!("{name}{SUMS}"), &[experts, entry.sums.len() / experts], DType::F32)?;
        writer.tensor(format!("{name}{COUNTS}"), &[experts, 1], DType::F32)?;
    }
    let data = |tensor: &TensorInfo| {
        let (name, is_sums) = match tensor.name.strip_suffix(SUMS) {
            Some(name) => (name, true),
            None => (tensor.name.strip_suffix(COUNTS).expect("no other tensor was declared"), false),
        };
        let entry = &importance.entries[name];
        match is_sums {
            true => bytes(name, entry.sums.iter().copied()),
            false => bytes(name, entry.counts.iter().map(|count| *count as f64)),
        }
    };
    writer.save(path, data)?;
    Ok(())
}

/// llama.cpp asks for all of these; where nobody counted chunks, a vector is one.
fn metadata(importance: &Importance) -> Metadata {
    let provenance = &importance.provenance;
    let tokens = provenance.chunk_tokens.unwrap_or(1);
    let largest = || importance.entries.values().flat_map(|entry| &entry.counts).max().copied().unwrap_or(0);
    let chunks = || (largest() / u64::from(tokens.max(1))).try_into().unwrap_or(u32::MAX);
    let mut metadata = Metadata::new();
    metadata.insert(TYPE_KEY, TYPE);
    metadata.insert(DATASETS_KEY, provenance.datasets.clone());
    metadata.insert(CHUNKS_KEY, provenance.chunks.unwrap_or_else(chunks));
    metadata.insert(CHUNK_TOKENS_KEY, tokens);
    metadata
}

fn bytes(name: &str, numbers: impl Iterator<Item = f64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for number in numbers {
        let float = number as f32;
        if float.is_infinite() {
            return Err(Error::tensor(name, format!("has the sum {number}, too large for a 32-bit float")));
        }
        bytes.extend(float.to_le_bytes());
    }
    Ok(bytes)
}
