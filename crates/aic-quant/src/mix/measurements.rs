//! What was measured of a model, in a file that a later run goes on from.
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Front;
use crate::replacement::Replacement;
use crate::{DType, Error, Importance, Result, TensorSource};

/// Changes whenever older measurements mean something else.
const VERSION: u32 = 1;

/// By the name of a weight or a group, and by type.
type Table = BTreeMap<String, BTreeMap<DType, f64>>;

/// Measurements of one model with one importance matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measurements {
    version: u32,
    /// Which model and importance this is about.
    key: String,
    /// The relative error of a weight in a type; impossible ones are absent.
    errors: Table,
    /// The damage to the model when only this group has the type of its first member.
    damages: Table,
    /// What came of them, for people and other programs to read.
    pub(super) front: Front,
}

impl Measurements {
    pub(super) fn new(key: String) -> Self {
        Self { version: VERSION, key, ..Self::default() }
    }

    /// The measurements at `path` if they have this `key`, otherwise none yet. A file that is damaged or about something
    /// else is put aside.
    pub(super) fn open(path: &Path, key: String) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::new(key)),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        match serde_json::from_slice::<Self>(&text).ok().filter(Self::is_sound) {
            Some(known) if known.key == key => Ok(known),
            known => {
                let reason = if known.is_some() { "it is about another model" } else { "it is damaged" };
                let aside = path.with_added_extension("aside");
                fs::rename(path, &aside).map_err(Error::io("rename", path))?;
                tracing::warn!(path = %path.display(), aside = %aside.display(), reason, "put a file of measurements aside");
                Ok(Self::new(key))
            }
        }
    }

    /// Writes the file whole.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("names and finite numbers can be written");
        let mut file = Replacement::create(path)?;
        file.write(&text)?;
        file.commit()
    }

    pub(super) fn error(&self, tensor: &str, dtype: DType) -> Option<f64> {
        self.errors.get(tensor)?.get(&dtype).copied()
    }

    /// Whether a weight can be measured no further in `types`. A type it cannot have is tried again: that is rare.
    pub(super) fn knows(&self, tensor: &str, types: &[DType]) -> bool {
        let known = self.errors.get(tensor);
        known.is_some_and(|known| types.iter().all(|dtype| known.contains_key(dtype)))
    }

    pub(super) fn add_errors(&mut self, tensor: &str, errors: impl Iterator<Item = (DType, f64)>) {
        self.errors
            .entry(tensor.to_owned())
            .or_default()
            .extend(errors.filter(|(_, error)| error.is_finite()));
    }

    pub(super) fn damage(&self, group: &str, dtype: DType) -> Option<f64> {
        self.damages.get(group)?.get(&dtype).copied()
    }

    pub(super) fn add_damage(&mut self, group: &str, dtype: DType, damage: f64) {
        self.damages.entry(group.to_owned()).or_default().insert(dtype, damage);
    }

    fn is_sound(&self) -> bool {
        let numbers = |table: &Table| {
            table.values().flat_map(BTreeMap::values).all(|number| number.is_finite() && *number >= 0.0)
        };
        self.version == VERSION && numbers(&self.errors) && numbers(&self.damages)
    }
}

/// A name for what is measured: a hash of the header, of the first row of every tensor (two models may share a header), and
/// of the importance.
pub(super) fn key(source: &dyn TensorSource, importance: Option<&Importance>) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for tensor in source.tensors() {
        hash.update(format!("{} {:?} {}\n", tensor.name, tensor.shape, tensor.dtype).as_bytes());
        if tensor.bytes > 0 {
            let mut row = vec![0; tensor.row_bytes()];
            source.read_into(tensor, 0, &mut row)?;
            hash.update(&row);
        }
    }
    for name in importance.into_iter().flat_map(Importance::tensors) {
        hash.update(format!("\nimportance {name} ").as_bytes());
        let values = importance.and_then(|importance| importance.get(name)).unwrap_or_default();
        values.iter().for_each(|value| {
            hash.update(&value.to_le_bytes());
        });
    }
    Ok(hash.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Measurements {
        let mut some = Measurements::new("this".to_owned());
        some.add_errors("a", [(DType::Q8_0, 0.125), (DType::F16, f64::INFINITY)].into_iter());
        some.add_damage("a+b", DType::Q4_K, 0.5);
        some
    }

    #[test]
    fn measurements_are_found_again_in_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.json");
        assert_eq!(
            Measurements::open(&path, "this".to_owned()).unwrap(),
            Measurements::new("this".to_owned())
        );
        some().save(&path).unwrap();

        let again = Measurements::open(&path, "this".to_owned()).unwrap();

        assert_eq!(again, some());
        assert_eq!(again.error("a", DType::Q8_0), Some(0.125));
        assert_eq!(again.error("a", DType::F16), None);
        assert_eq!(again.damage("a+b", DType::Q4_K), Some(0.5));
    }

    #[test]
    fn files_that_are_damaged_or_about_another_model_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.json");
        let negative = serde_json::to_string(&some()).unwrap().replace("0.125", "-1.0");
        let other = serde_json::to_string(&Measurements::new("other".to_owned())).unwrap();
        for text in ["", "{", "[]", "{\"version\":1}", &"[".repeat(100_000), &negative, &other] {
            fs::write(&path, text).unwrap();
            let fresh = Measurements::open(&path, "this".to_owned()).unwrap();
            assert_eq!(fresh, Measurements::new("this".to_owned()), "{text}");
            assert!(!path.exists());
            assert_eq!(fs::read_to_string(folder.path().join("front.json.aside")).unwrap(), text);
        }
    }
}
