//! What can be said of a candidate without running it.
use std::fmt;

use serde::Serialize;

use super::slabs;
use crate::codec::{decodable, decode_into};
use crate::gguf::{Metadata, Value};
use crate::{DType, Result, TensorInfo, TensorSource};

/// How a candidate came from its reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kinship {
    /// The same numbers rounded to smaller types: every block must lie as near to the reference as its type can come.
    #[default]
    Rounded,
    /// Other numbers: pruned, distilled, trained on. Only what every sound model has is asked for.
    Reworked,
}

/// One thing that is wrong with a candidate's file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// A metadata key of the tokenizer or of the architecture differs.
    Metadata {
        /// The key.
        key: String,
        /// What is different.
        problem: String,
    },
    /// The candidate lacks a tensor of the reference.
    Missing {
        /// The tensor's name.
        tensor: String,
    },
    /// The candidate has a tensor the reference lacks.
    Extra {
        /// The tensor's name.
        tensor: String,
    },
    /// The shapes of a tensor differ.
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The reference's shape, outermost dimension first.
        reference: Vec<usize>,
        /// The candidate's.
        candidate: Vec<usize>,
    },
    /// A value is NaN or infinite.
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// The row of the first such value.
        row: u64,
        /// How many there are.
        count: u64,
    },
    /// All values are zero, and the reference's are not.
    Zero {
        /// The tensor's name.
        tensor: String,
    },
    /// The values are larger or smaller throughout.
    Gain {
        /// The tensor's name.
        tensor: String,
        /// The factor that brings the reference nearest to the candidate.
        gain: f64,
        /// How far from 1 it may lie.
        tolerance: f64,
    },
    /// A block lies further from the reference than rounding to its type explains.
    Block {
        /// The tensor's name.
        tensor: String,
        /// The worst block's row.
        row: u64,
        /// Its first column.
        column: usize,
        /// The root of its mean squared error beyond what rounding explains, in units of the root of the tensor's mean
        /// square.
        error: f64,
    },
}

/// Compares the candidate's file with the reference's, without running either: nothing found, nothing wrong.
///
/// Whatever the kinship: the tokenizer is the same (every `tokenizer.*` key), every value is finite, and no tensor is all zero
/// where the reference's is not. If the candidate is [`Kinship::Rounded`], besides: the architecture's keys and the tensors'
/// names and shapes are the same, each tensor is as large as the reference's, and each block as near to it as the type
/// allows. That notices a single wrong block, which no text may ever meet. Otherwise a tensor of the same shape may be up to
/// 8 times larger or smaller.
///
/// Numbers of types that cannot be [decoded](crate::decode) here are not compared. A slab of about a million numbers of
/// either file is in memory at once.
///
/// # Errors
/// As [`TensorSource::read_into`].
pub fn structure(
    reference: &dyn TensorSource,
    candidate: &dyn TensorSource,
    kinship: Kinship,
) -> Result<Vec<Finding>> {
    let mut findings = metadata(reference.metadata(), candidate.metadata(), kinship);
    for tensor in reference.tensors() {
        match candidate.tensors().iter().find(|other| other.name == tensor.name) {
            Some(other) => {
                findings.extend(tensor_findings((reference, tensor), (candidate, other), kinship)?);
            }
            None if kinship == Kinship::Rounded => {
                findings.push(Finding::Missing { tensor: tensor.name.clone() });
            }
            None => {}
        }
    }
    for tensor in candidate.tensors() {
        if reference.tensors().iter().any(|other| other.name == tensor.name) {
            continue;
        }
        findings.extend(lone_findings(candidate, tensor)?);
        if kinship == Kinship::Rounded {
            findings.push(Finding::Extra { tensor: tensor.name.clone() });
        }
    }
    Ok(findings)
}

/// The keys that say how text becomes tokens, and for a rounded model how tokens become predictions.
fn metadata(reference: &Metadata, candidate: &Metadata, kinship: Kinship) -> Vec<Finding> {
    let architecture = reference.string("general.architecture").ok().flatten().unwrap_or_default();
    let own = format!("{architecture}.");
    let matters = |key: &str| {
        key.starts_with("tokenizer.")
            || kinship == Kinship::Rounded && (key.starts_with(&own) || key == "general.architecture")
    };
    let extra = candidate.iter().filter(|(key, _)| !reference.contains(key));
    let keys = reference.iter().chain(extra).map(|(key, _)| key).filter(|key| matters(key));
    keys.filter_map(|key| {
        let problem = difference(reference.get(key), candidate.get(key))?;
        Some(Finding::Metadata { key: key.to_owned(), problem })
    })
    .collect()
}

fn difference(reference: Option<&Value>, candidate: Option<&Value>) -> Option<String> {
    match (reference, candidate) {
        (Some(reference), Some(candidate)) if same(reference, candidate) => None,
        (Some(reference), Some(candidate)) => {
            Some(format!("is {candidate} and not as in the reference, {reference}"))
        }
        (Some(_), None) => Some("is missing".to_owned()),
        (None, _) => Some("is not in the reference".to_owned()),
    }
}

/// Whether two values say the same; programs write integers in different widths.
fn same(reference: &Value, candidate: &Value) -> bool {
    reference == candidate
        || reference.as_u64().is_some() && reference.as_u64() == candidate.as_u64()
        || reference.as_f64().is_some() && reference.as_f64() == candidate.as_f64()
}

type Place<'a> = (&'a dyn TensorSource, &'a TensorInfo);

fn tensor_findings(reference: Place<'_>, candidate: Place<'_>, kinship: Kinship) -> Result<Vec<Finding>> {
    let (old, new) = (reference.1, candidate.1);
    let mut findings = Vec::new();
    let same_shape = old.shape == new.shape;
    if !same_shape && kinship == Kinship::Rounded {
        findings.push(Finding::Shape {
            tensor: new.name.clone(),
            reference: old.shape.clone(),
            candidate: new.shape.clone(),
        });
    }
    if !same_shape || !decodable(old.dtype) || !decodable(new.dtype) {
        findings.extend(lone_findings(candidate.0, new)?);
        return Ok(findings);
    }
    let comparison = Comparison::new(reference, candidate)?;
    findings.extend(comparison.findings(new, kinship));
    Ok(findings)
}

/// What is wrong with a tensor that has nothing to be compared with.
fn lone_findings(source: &dyn TensorSource, tensor: &TensorInfo) -> Result<Vec<Finding>> {
    if !decodable(tensor.dtype) {
        return Ok(Vec::new());
    }
    let comparison = Comparison::new((source, tensor), (source, tensor))?;
    Ok(comparison.findings(tensor, Kinship::Reworked))
}

/// How two tensors of one shape differ.
#[derive(Debug, Default)]
struct Comparison {
    total: Sums,
    not_finite: u64,
    /// The row of the first value that is not finite.
    broken_row: Option<u64>,
    /// The block whose error passes most what its type explains: row, column, mean square beyond it.
    worst: Option<(u64, usize, f64)>,
    values: u64,
}

impl Comparison {
    fn new(reference: Place<'_>, candidate: Place<'_>) -> Result<Self> {
        let mut sums = Self::default();
        let (old, new) = (reference.1, candidate.1);
        let (row, row_bytes) = (new.row_length(), old.row_bytes() as u64);
        slabs::each(candidate.0, new, |bytes, first| {
            let count = bytes.len() / new.row_bytes().max(1);
            let mut originals = vec![0; count * row_bytes as usize];
            reference.0.read_into(old, first * row_bytes, &mut originals)?;
            let (theirs, ours) =
                (decoded(bytes, new.dtype, count * row)?, decoded(&originals, old.dtype, count * row)?);
            for (index, (ours, theirs)) in ours.chunks(row).zip(theirs.chunks(row)).enumerate() {
                sums.add_row(first + index as u64, ours, theirs, new.dtype);
            }
            Ok(())
        })?;
        Ok(sums)
    }

    fn add_row(&mut self, row: u64, reference: &[f32], candidate: &[f32], dtype: DType) {
        let block = dtype.block_size().max(32);
        let limit = block_error(dtype).powi(2);
        for (index, (ours, theirs)) in reference.chunks(block).zip(candidate.chunks(block)).enumerate() {
            let sums = Sums::new(ours, theirs);
            if !sums.candidate_square.is_finite() {
                self.not_finite += theirs.iter().filter(|value| !value.is_finite()).count() as u64;
                self.broken_row.get_or_insert(row);
                continue;
            }
            self.total.add(&sums);
            self.values += ours.len() as u64;
            let excess = (sums.error_square - limit * sums.reference_square) / ours.len() as f64;
            if excess > self.worst.map_or(0.0, |(.., worst)| worst) {
                self.worst = Some((row, index * block, excess));
            }
        }
    }

    fn findings(&self, tensor: &TensorInfo, kinship: Kinship) -> Vec<Finding> {
        let name = || tensor.name.clone();
        if let Some(row) = self.broken_row {
            return vec![Finding::NotFinite { tensor: name(), row, count: self.not_finite }];
        }
        if self.total.candidate_square == 0.0 {
            let lost = self.total.reference_square > 0.0;
            return if lost { vec![Finding::Zero { tensor: name() }] } else { Vec::new() };
        }
        if kinship == Kinship::Reworked {
            return self.reworked(tensor).into_iter().collect();
        }
        let mut findings = Vec::new();
        let gain = self.total.product / self.total.reference_square;
        let tolerance = gain_tolerance(tensor.dtype);
        // A reference that is all zero has no scale; a candidate that is not, shows in its blocks.
        if (gain - 1.0).abs() > tolerance {
            findings.push(Finding::Gain { tensor: name(), gain, tolerance });
        }
        let mean_square = self.total.reference_square / self.values as f64;
        if let Some((row, column, excess)) = self.worst.filter(|(.., x)| *x > FLOOR * FLOOR * mean_square) {
            let error = (excess / mean_square).sqrt();
            findings.push(Finding::Block { tensor: name(), row, column, error });
        }
        findings
    }

    fn reworked(&self, tensor: &TensorInfo) -> Option<Finding> {
        let gain = (self.total.candidate_square / self.total.reference_square).sqrt();
        let far = gain.is_finite() && !(1.0 / 8.0..=8.0).contains(&gain);
        far.then(|| Finding::Gain { tensor: tensor.name.clone(), gain, tolerance: 7.0 })
    }
}

/// The sums two rows of numbers are compared by.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    reference_square: f64,
    candidate_square: f64,
    error_square: f64,
    product: f64,
}

impl Sums {
    /// In four lanes, which the compiler makes into vector instructions.
    fn new(reference: &[f32], candidate: &[f32]) -> Self {
        let mut lanes = [Self::default(); 4];
        let (ours, our_rest) = reference.as_chunks::<4>();
        let (theirs, their_rest) = candidate.as_chunks::<4>();
        for (ours, theirs) in ours.iter().zip(theirs) {
            for (lane, (ours, theirs)) in lanes.iter_mut().zip(ours.iter().zip(theirs)) {
                lane.count(*ours, *theirs);
            }
        }
        our_rest.iter().zip(their_rest).for_each(|(ours, theirs)| lanes[0].count(*ours, *theirs));
        let mut sums = Self::default();
        lanes.iter().for_each(|lane| sums.add(lane));
        sums
    }

    #[inline(always)]
    fn count(&mut self, ours: f32, theirs: f32) {
        let (ours, theirs) = (f64::from(ours), f64::from(theirs));
        self.reference_square += ours * ours;
        self.candidate_square += theirs * theirs;
        self.error_square += (ours - theirs) * (ours - theirs);
        self.product += ours * theirs;
    }

    fn add(&mut self, other: &Self) {
        self.reference_square += other.reference_square;
        self.candidate_square += other.candidate_square;
        self.error_square += other.error_square;
        self.product += other.product;
    }
}

/// Errors below this part of a tensor's own size are never held against a block: where a block is that small, the 16-bit
/// scales of some types have no digits left.
const FLOOR: f64 = 0.01;

fn decoded(bytes: &[u8], dtype: DType, count: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0; count];
    decode_into(bytes, dtype, &mut values)?;
    Ok(values)
}

/// The largest error of one block, relative to its own size, that rounding to `dtype` leaves.
///
/// For a type of n levels on either side of zero the worst block has one value that fixes the scale and 31 that lie half a step from
/// a level: √31 / 2n of its size. Rounded up, and for the types whose scales are themselves rounded, doubled.
fn block_error(dtype: DType) -> f64 {
    match dtype {
        DType::F32 | DType::F64 => 1e-6,
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::Q8_0 | DType::Q8_1 | DType::Q8_K => 0.03,
        DType::Q6_K => 0.2,
        DType::Q5_0 | DType::Q5_1 => 0.2,
        DType::Q5_K => 0.3,
        DType::Q4_0 | DType::Q4_1 | DType::Q4_K | DType::IQ4_NL | DType::IQ4_XS => 0.5,
        DType::Q3_K => 0.7,
        _ => 0.9,
    }
}

/// How far from 1 the scale of a whole tensor may lie: rounding to levels that fit best shrinks a tensor by the square of
/// its relative error.
fn gain_tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 | DType::F64 | DType::F16 => 1e-3,
        DType::BF16 | DType::Q8_0 | DType::Q8_1 | DType::Q8_K | DType::Q6_K => 0.01,
        DType::Q5_0 | DType::Q5_1 | DType::Q5_K => 0.02,
        DType::Q4_0 | DType::Q4_1 | DType::Q4_K | DType::IQ4_NL | DType::IQ4_XS => 0.05,
        DType::Q3_K => 0.12,
        _ => 0.3,
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata { key, problem } => write!(f, "metadata key `{key}` {problem}"),
            Self::Missing { tensor } => write!(f, "tensor `{tensor}` is missing"),
            Self::Extra { tensor } => write!(f, "tensor `{tensor}` is not in the reference"),
            Self::Shape { tensor, reference, candidate } => {
                write!(f, "tensor `{tensor}` has shape {candidate:?}, expected {reference:?}")
            }
            Self::NotFinite { tensor, row, count } => {
                write!(f, "tensor `{tensor}` has {count} values that are not numbers, the first in row {row}")
            }
            Self::Zero { tensor } => write!(f, "tensor `{tensor}` is all zero"),
            Self::Gain { tensor, gain, tolerance } => {
                write!(f, "tensor `{tensor}` is {gain:.4} times the reference, expected 1 ± {tolerance}")
            }
            Self::Block { tensor, row, column, error } => write!(
                f,
                "tensor `{tensor}` differs by more than rounding, most in row {row} from column {column} on, by {error:.3} \
                 of its size"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;
    use crate::gguf::{File, Writer};

    /// A file of F32 tensors with rows of 64.
    fn file(metadata: &[(&str, Value)], tensors: &[(&str, Vec<f32>)]) -> File {
        let mut all = Metadata::new();
        all.insert("general.architecture", "llama");
        metadata.iter().for_each(|(key, value)| drop(all.insert(*key, value.clone())));
        let mut writer = Writer::new(all);
        for (name, values) in tensors {
            writer.tensor(*name, &[values.len() / 64, 64], DType::F32).unwrap();
        }
        let values = |name: &str| &tensors.iter().find(|(other, _)| *other == name).unwrap().1;
        File::from_bytes(writer.to_vec(|tensor| encode(values(&tensor.name), DType::F32)).unwrap()).unwrap()
    }

    fn wave() -> Vec<f32> {
        (0..640).map(|i| (i as f32 * 0.7).sin()).collect()
    }

    fn found(reference: &File, candidate: &File) -> Vec<String> {
        let findings = structure(reference, candidate, Kinship::Rounded).unwrap();
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn same_file_with_integers_of_another_width_has_nothing_to_find() {
        let tensors = [("a", wave()), ("zero", vec![0.0; 64])];
        let reference = file(&[("llama.block_count", 4_u32.into()), ("general.name", "x".into())], &tensors);
        let candidate = file(&[("llama.block_count", 4_u64.into()), ("general.name", "y".into())], &tensors);
        assert_eq!(found(&reference, &candidate), [] as [String; 0]);
    }

    #[test]
    fn keys_and_tensors_that_come_and_go_are_named() {
        let reference = file(&[("llama.block_count", 4_u32.into())], &[("a", wave()), ("b", wave())]);
        let candidate = file(&[("tokenizer.ggml.model", "gpt2".into())], &[("a", wave()), ("c", wave())]);
        assert_eq!(
            found(&reference, &candidate),
            [
                "metadata key `llama.block_count` is missing",
                "metadata key `tokenizer.ggml.model` is not in the reference",
                "tensor `b` is missing",
                "tensor `c` is not in the reference",
            ]
        );
    }

    #[test]
    fn one_number_is_enough_and_noise_below_the_floor_is_not() {
        let reference = file(&[], &[("a", wave())]);
        let changed = |by: f32| {
            let mut values = wave();
            values[64 * 3 + 40] += by;
            found(&reference, &file(&[], &[("a", values)]))
        };
        assert_eq!(changed(0.01), [] as [String; 0]);
        assert_eq!(
            changed(0.25),
            [
                "tensor `a` differs by more than rounding, most in row 3 from column 32 on, by 0.063 of its size"
            ]
        );
    }

    #[test]
    fn numbers_where_there_were_none_are_found() {
        let mut values = vec![0.0; 128];
        values[70] = 1e-20;
        let findings = found(&file(&[], &[("a", vec![0.0; 128])]), &file(&[], &[("a", values)]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("row 1 from column 0"), "{findings:?}");
    }
}
