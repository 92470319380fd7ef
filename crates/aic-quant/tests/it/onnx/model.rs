//! A model in a folder of its own, and what comes of running it.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aic_quant::onnx::{Options, Report, Runtime, Scheme, Session, SessionOptions, Tensor, quantize};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::environment;

/// The runtime library. It is loaded once for the process, so what happens without one is tried here, before that.
pub(super) static LIBRARY: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    for runtime in [Runtime::Onnxruntime, Runtime::Auto] {
        let options = Session::options().runtime(runtime).library("/nowhere/libonnxruntime.so");
        let missing = options.from_bytes(b"").unwrap_err();
        assert!(missing.to_string().contains("/nowhere/libonnxruntime.so"), "{missing}");
        assert!(missing.to_string().contains("ORT_DYLIB_PATH"), "{missing}");
    }
    environment::or_skip("AIC_TEST_ONNXRUNTIME_LIB").map(PathBuf::from)
});

/// How models run on the library; `None` without it.
pub(super) fn onnxruntime() -> Option<SessionOptions> {
    LIBRARY.as_ref().map(|library| Session::options().runtime(Runtime::Onnxruntime).library(library))
}

/// How models run on each runtime there is.
pub(super) fn runtimes() -> Vec<SessionOptions> {
    let embedded = Session::options().runtime(Runtime::Embedded).threads(1);
    [embedded].into_iter().chain(onnxruntime().map(|options| options.threads(1))).collect()
}

pub(super) struct Model {
    folder: TempDir,
    name: &'static str,
}

impl Model {
    /// A golden model; `weights` is how many numbers its external data has.
    pub(super) fn golden(name: &'static str, weights: usize) -> Self {
        let model = Self { folder: tempfile::tempdir().unwrap(), name };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/onnx/{name}.onnx"));
        fs::copy(golden, model.path()).unwrap();
        if weights > 0 {
            let bytes: Vec<u8> = normal(weights, 1.0 / 16.0).iter().flat_map(|x| x.to_le_bytes()).collect();
            fs::write(model.folder().join("weights.bin"), bytes).unwrap();
        }
        model
    }

    pub(super) fn mlp() -> Self {
        Self::golden("mlp", 0)
    }

    pub(super) fn conv() -> Self {
        Self::golden("conv", 0)
    }

    pub(super) fn branch() -> Self {
        Self::golden("branch", 0)
    }

    pub(super) fn norm() -> Self {
        Self::golden("norm", 0)
    }

    pub(super) fn attention() -> Self {
        Self::golden("attention", 4 * 64 * 64)
    }

    pub(super) fn tied() -> Self {
        Self::golden("tied", 2700 * 256 + 2 * (4 * 256 + 2 * 384) * 256)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder().join(format!("{}.onnx", self.name))
    }

    pub(super) fn output(&self) -> PathBuf {
        self.folder().join("output.onnx")
    }

    /// Inputs for one run, other ones for another `seed`.
    pub(super) fn inputs(&self, seed: u64) -> Vec<Tensor> {
        let numbers = |shape: &[usize]| {
            let count = shape.iter().product();
            Tensor::new("x", shape, normal_of(seed, count, 1.0))
        };
        match self.name {
            "mlp" => vec![numbers(&[5, 32])],
            "norm" => vec![Tensor::new("x", &[3, 16], normal_of(seed, 48, 500.0))],
            "conv" => vec![numbers(&[2, 3, 12, 12])],
            "attention" => vec![numbers(&[2, 7, 64])],
            "branch" => vec![Tensor::new("flag", &[], vec![seed.is_multiple_of(2)]), numbers(&[3, 16])],
            _ => vec![Tensor::new("ids", &[2, 5], (0..10).map(|at| at * 257 % 2700).collect::<Vec<i64>>())],
        }
    }

    pub(super) fn quantize(&self, scheme: &Scheme, options: &Options) -> aic_quant::Result<Report> {
        quantize(self.path(), self.output(), scheme, options, |_| {})
    }

    /// Quantizes the model and returns the relative root mean square error of its first output, the worst of a few runs.
    pub(super) fn error(&self, scheme: &Scheme, options: &Options) -> Option<(f64, Report)> {
        let runtime = onnxruntime()?;
        let report = self.quantize(scheme, options).unwrap();
        let sessions = [self.path(), self.output()].map(|path| runtime.open(path).unwrap());
        assert_eq!(sessions[0].inputs(), sessions[1].inputs());
        assert_eq!(sessions[0].outputs(), sessions[1].outputs());
        let error = |seed| {
            let [before, after] =
                sessions.each_ref().map(|session| session.run(&self.inputs(seed)).unwrap().remove(0));
            assert_eq!(before.shape, after.shape);
            relative(before.values.floats().unwrap(), after.values.floats().unwrap())
        };
        Some(((100..104).map(error).fold(0.0, f64::max), report))
    }
}

pub(super) fn relative(expected: &[f32], actual: &[f32]) -> f64 {
    let lost: f64 = expected.iter().zip(actual).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (lost / expected.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>()).sqrt()
}

fn normal(count: usize, deviation: f32) -> Vec<f32> {
    normal_of(0, count, deviation)
}

/// Nearly normal numbers: sums of twelve even ones.
fn normal_of(seed: u64, count: usize, deviation: f32) -> Vec<f32> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut sum = || (0..12).map(|_| random.random::<f32>() - 0.5).sum::<f32>();
    (0..count).map(|_| sum() * deviation).collect()
}
