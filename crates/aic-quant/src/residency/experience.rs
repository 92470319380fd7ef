//! What a machine has taught, kept in a file.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::corrections::{Correction, Corrections, Kind};
use super::peaks::Peaks;
use super::predictor::Predictor;
use crate::replacement::Replacement;
use crate::{Error, Result};

/// The form of the file.
const VERSION: u32 = 1;

/// A file of ours stays far below this.
const MOST_BYTES: u64 = 64 << 20;

/// The share of the newest load in how long the next is expected to take.
const NEWEST_RELOAD: f64 = 0.3;

/// What was learned by running models: how wrong estimates are, how long loading takes, what requests take at their peak, and
/// in which order models are used.
///
/// Machines may share a file: errors of estimates are kept for each of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experience {
    version: u32,
    #[serde(skip)]
    machine: String,
    corrections: Corrections,
    models: BTreeMap<String, Model>,
    pub(super) predictor: Predictor,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Model {
    reload_seconds: Option<f64>,
    peaks: Peaks,
}

impl Experience {
    /// No experience, on a machine of this name.
    pub fn new(machine: impl Into<String>) -> Self {
        Self { version: VERSION, machine: machine.into(), ..Self::default() }
    }

    /// The experience in the file at `path`, on a machine of this name; none if there is no such file.
    ///
    /// A file that says something else is put aside as `….damaged`, reported by a log line, and there is no experience.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is there and cannot be read, or not be put aside.
    pub fn open(path: impl AsRef<Path>, machine: impl Into<String>) -> Result<Self> {
        let path = path.as_ref();
        let fresh = Self::new(machine);
        if !path.exists() {
            return Ok(fresh);
        }
        match Self::parse(&read(path)?) {
            Ok(found) => Ok(Self { machine: fresh.machine, ..found }),
            Err(problem) => {
                put_aside(path, &problem)?;
                Ok(fresh)
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(format!("is above {MOST_BYTES} bytes"));
        }
        let found: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if found.version != VERSION {
            return Err(format!("is of version {}", found.version));
        }
        let model = |model: &Model| {
            let reload =
                model.reload_seconds.is_none_or(|seconds| Duration::try_from_secs_f64(seconds).is_ok());
            reload && model.peaks.is_sound()
        };
        let sound =
            found.predictor.is_sound() && found.corrections.is_sound() && found.models.values().all(model);
        if sound { Ok(found) } else { Err("has numbers that cannot be".to_owned()) }
    }

    /// Writes it to `path`, in the place of what was there; a reader sees the one or the other.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::NoSpace`] if it cannot be written; the old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let contents = serde_json::to_vec(self).map_err(|error| Error::io("write", path)(error.into()))?;
        let mut file = Replacement::create(path)?;
        file.write(&contents)?;
        file.commit()
    }

    /// How wrong estimates have been, for each kind of model.
    pub fn corrections(&self) -> &[Correction] {
        self.corrections.entries()
    }

    /// The factor by which estimates of this family are corrected here; `None` until something was learned.
    pub(super) fn factor(&self, family: &str, backend: &str) -> Option<f64> {
        self.corrections.factor(Kind { machine: &self.machine, family, backend })
    }

    pub(super) fn loaded(&mut self, name: &str, took: Duration) {
        let model = self.models.entry(name.to_owned()).or_default();
        let took = took.as_secs_f64();
        let older = model.reload_seconds.unwrap_or(took);
        model.reload_seconds = Some(older + NEWEST_RELOAD * (took - older));
    }

    pub(super) fn measured(&mut self, family: &str, backend: &str, estimated: u64, real: u64) {
        let Self { machine, corrections, .. } = self;
        corrections.learn(Kind { machine, family, backend }, estimated, real);
    }

    pub(super) fn burst(&mut self, name: &str, bytes: u64) {
        self.models.entry(name.to_owned()).or_default().peaks.add(bytes);
    }

    /// How long loading `name` takes; `None` until it was timed.
    pub(super) fn reload(&self, name: &str) -> Option<Duration> {
        Duration::try_from_secs_f64(self.models.get(name)?.reload_seconds?).ok()
    }

    /// What 99 % of the requests to `name` kept to; `expected` counts until there were a hundred.
    pub(super) fn burst_p99(&self, name: &str, expected: u64) -> u64 {
        self.models.get(name).map_or(expected, |model| model.peaks.p99(expected))
    }
}

/// Reads no more than one byte above what is allowed, whatever the file's length says.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

fn put_aside(path: &Path, problem: &str) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside).map_err(Error::io("rename", path))?;
    tracing::warn!(path = %path.display(), aside = %aside.display(), problem, "the file of experience was put aside");
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taught() -> Experience {
        let mut experience = Experience::new("pc2");
        experience.measured("llama", "candle/cuda", 1000, 1300);
        experience.loaded("chat", Duration::from_millis(1500));
        (0..300).for_each(|peak| experience.burst("chat", peak));
        for name in ["chat", "nllb", "chat", "tts"] {
            experience.predictor.used(name, Duration::from_secs(5000));
        }
        experience
    }

    #[test]
    fn experience_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("experience.json");
        assert_eq!(Experience::open(&path, "pc2").unwrap(), Experience::new("pc2"));

        taught().save(&path).unwrap();

        let again = Experience::open(&path, "pc2").unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(again.factor("llama", "candle/cuda").unwrap(), 1.3));
        assert_eq!(again.reload("chat"), taught().reload("chat"));
        assert_eq!(again.burst_p99("chat", 0), taught().burst_p99("chat", 0));
        let soon = |experience: &Experience| experience.predictor.soon(&["chat"], 8.0, Duration::ZERO)[0];
        assert!(close(soon(&again), soon(&taught())));
        let elsewhere = Experience::open(&path, "pc1").unwrap();
        assert_eq!(elsewhere.factor("llama", "candle/cuda"), None, "another machine errs differently");
        assert_eq!(elsewhere.corrections().len(), 1);
    }

    #[test]
    fn file_of_unknown_contents_is_kept_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("experience.json");
        let good = serde_json::to_string(&taught()).unwrap();
        for contents in [
            String::new(),
            "[]".to_owned(),
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("\"reload_seconds\":1.5", "\"reload_seconds\":-1.5"),
            good.replace("\"last\":2", "\"last\":9"),
            good[..good.len() / 2].to_owned(),
        ] {
            assert_ne!(contents, good);
            fs::write(&path, &contents).unwrap();

            assert_eq!(Experience::open(&path, "pc2").unwrap(), Experience::new("pc2"), "{contents}");

            let aside = folder.path().join("experience.json.damaged");
            assert_eq!(fs::read_to_string(aside).unwrap(), contents);
            assert!(!path.exists());
        }
    }

    #[test]
    fn time_of_a_load_follows_the_newest() {
        let mut experience = Experience::new("pc2");
        assert_eq!(experience.reload("chat"), None);
        experience.loaded("chat", Duration::from_secs(10));
        assert_eq!(experience.reload("chat"), Some(Duration::from_secs(10)));
        (0..20).for_each(|_| experience.loaded("chat", Duration::from_secs(2)));
        assert!(experience.reload("chat").unwrap() < Duration::from_millis(2100));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..2000_usize) {
            let _ = Experience::parse(&bytes);
            let mut good = serde_json::to_vec(&taught()).unwrap();
            let at = at % good.len();
            good.splice(at..at, bytes);
            if let Ok(parsed) = Experience::parse(&good) {
                parsed.predictor.soon(&["chat", "tts"], 8.0, Duration::MAX);
                parsed.predictor.clone().used("new", Duration::ZERO);
            }
        }
    }
}
