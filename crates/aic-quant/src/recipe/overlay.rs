use std::collections::HashMap;

use super::Plan;
use crate::codec::{decode_into, encode_into};
use crate::gguf::Metadata;
use crate::{Error, Importance, Result, TensorInfo, TensorSource};

/// How many numbers are converted at once.
const SLAB: usize = 1 << 20;

/// A model as a plan would make it, converted while it is read: try it before writing anything.
///
/// Nothing is kept, so reading twice converts twice; what keeps its type is passed on as it is. Offsets are all 0.
///
/// ```no_run
/// # #[cfg(feature = "engine")]
/// # fn main() -> aic_quant::Result<()> {
/// use aic_quant::{Model, Overlay, Recipe, gguf};
///
/// let source = gguf::File::open("model-f16.gguf")?;
/// let plan = "q4_k_m,attn_v=q8_0".parse::<Recipe>()?.plan(&source, None)?;
/// let model = Model::options().load(&Overlay::new(&source, &plan, None)?)?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "engine"))]
/// # fn main() {}
/// ```
pub struct Overlay<'a> {
    source: &'a dyn TensorSource,
    importance: Option<&'a Importance>,
    tensors: Vec<TensorInfo>,
    positions: HashMap<String, usize>,
}

impl<'a> Overlay<'a> {
    /// `source` with the types of `plan`, which was made for it; quantized with `importance`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the plan is for another model.
    pub fn new(
        source: &'a dyn TensorSource,
        plan: &Plan,
        importance: Option<&'a Importance>,
    ) -> Result<Self> {
        let mut originals = source.tensors().iter();
        let mut tensors = Vec::new();
        for planned in plan.tensors() {
            if originals.next() != Some(&planned.tensor) {
                return Err(Error::tensor(
                    &planned.tensor.name,
                    "is not at its place in the model it was planned for",
                ));
            }
            tensors.push(TensorInfo::new(&planned.tensor.name, &planned.tensor.shape, planned.dtype)?);
        }
        if let Some(tensor) = originals.next() {
            return Err(Error::tensor(&tensor.name, "is not in the plan"));
        }
        let positions = tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
        Ok(Self { source, importance, tensors, positions })
    }

    /// Fills `out` with rows of `tensor` from `row` on.
    fn convert(&self, original: &TensorInfo, tensor: &TensorInfo, row: u64, out: &mut [u8]) -> Result<()> {
        let importance = weights(self.importance, tensor)?;
        let rows = out.len() / tensor.row_bytes();
        let mut bytes = vec![0; rows * original.row_bytes()];
        let mut values = vec![0.0; rows * tensor.row_length()];
        self.source.read_into(original, row * original.row_bytes() as u64, &mut bytes)?;
        decode_into(&bytes, original.dtype, &mut values)?;
        check_finite(tensor, &values)?;
        encode_into(&values, importance.as_deref(), tensor.dtype, out)
    }
}

impl TensorSource for Overlay<'_> {
    fn metadata(&self) -> &Metadata {
        self.source.metadata()
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let missing = || Error::MissingTensor { name: tensor.name.clone() };
        let original = &self.source.tensors()[*self.positions.get(&tensor.name).ok_or_else(missing)?];
        if original.dtype == tensor.dtype {
            return self.source.read_into(original, start, out);
        }
        if out.is_empty() {
            return Ok(());
        }
        let row = tensor.row_bytes();
        let slab = (SLAB / tensor.row_length()).max(1);
        let first = start / row as u64;
        out.chunks_mut(slab * row)
            .enumerate()
            .try_for_each(|(at, out)| self.convert(original, tensor, first + (at * slab) as u64, out))
    }
}

/// The importance of the columns of `tensor`.
pub(crate) fn weights(importance: Option<&Importance>, tensor: &TensorInfo) -> Result<Option<Vec<f32>>> {
    let Some(weights) = importance.and_then(|importance| importance.get(&tensor.name)) else {
        return Ok(None);
    };
    if weights.len() == tensor.row_length() {
        return Ok(Some(weights));
    }
    let problem = format!("has rows of {} and importance for {} inputs", tensor.row_length(), weights.len());
    Err(Error::tensor(&tensor.name, problem))
}

/// Refuses numbers that are none, which quantizing would hide as zeros.
pub(crate) fn check_finite(tensor: &TensorInfo, values: &[f32]) -> Result<()> {
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::tensor(&tensor.name, format!("has the value {value}"))),
    }
}

#[cfg(test)]
#[cfg(feature = "engine")]
mod tests {
    use super::*;
    use crate::gguf::{File, Writer};
    use crate::{DType, Recipe, encode};

    const ROWS: usize = SLAB / 256 + 5;

    fn values() -> Vec<f32> {
        (0..ROWS * 256).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    fn source(values: &[f32]) -> File {
        let mut writer = Writer::new(Metadata::new());
        writer.tensor("output.weight", &[ROWS, 256], DType::F32).unwrap();
        writer.tensor("output_norm.weight", &[256], DType::F32).unwrap();
        let data = |tensor: &TensorInfo| encode(&values[..tensor.elements() as usize], DType::F32);
        File::from_bytes(writer.to_vec(data).unwrap()).unwrap()
    }

    #[test]
    fn overlay_reads_what_quantizing_would_write_whole_or_in_rows() {
        let source = source(&values());
        let plan = Recipe::uniform(DType::Q4_K).plan(&source, None).unwrap();
        let overlay = Overlay::new(&source, &plan, None).unwrap();
        let whole = encode(&values(), DType::Q4_K).unwrap();

        assert!(overlay.read(&overlay.tensors()[0]).unwrap() == whole);
        let mut rows = vec![0; 3 * 144];
        overlay.read_into(&overlay.tensors()[0], 7 * 144, &mut rows).unwrap();
        assert_eq!(rows, whole[7 * 144..10 * 144]);
        assert_eq!(overlay.read(&overlay.tensors()[1]).unwrap(), source.read(&source.tensors()[1]).unwrap());
    }

    #[test]
    fn infinite_numbers_and_strange_plans_are_refused() {
        let mut values = values();
        values[1000] = f32::INFINITY;
        let bad = source(&values);
        let plan = Recipe::uniform(DType::Q8_0).plan(&bad, None).unwrap();
        let overlay = Overlay::new(&bad, &plan, None).unwrap();
        assert!(matches!(overlay.read(&overlay.tensors()[0]), Err(Error::Tensor { .. })));

        let mut writer = Writer::new(Metadata::new());
        writer.tensor("output.weight", &[1, 256], DType::F32).unwrap();
        let other = File::from_bytes(writer.to_vec(|_| Ok(vec![0; 1024])).unwrap()).unwrap();
        assert!(matches!(Overlay::new(&other, &plan, None), Err(Error::Tensor { .. })));
    }

    #[test]
    fn importance_of_another_length_is_refused() {
        let source = source(&values());
        let plan = Recipe::uniform(DType::Q4_K).plan(&source, None).unwrap();
        let mut importance = Importance::new();
        importance.add("output.weight", &[1.0; 100], 1).unwrap();
        let overlay = Overlay::new(&source, &plan, Some(&importance)).unwrap();
        let error = overlay.read(&overlay.tensors()[0]).unwrap_err();
        assert!(error.to_string().contains("rows of 256 and importance for 100 inputs"), "{error}");
    }
}
