//! Calibrating comes to the sums that llama.cpp comes to, at once or in parts, and measures which layers do something.
use std::ops::ControlFlow;

use aic_quant::gguf::{File, Metadata};
use aic_quant::{
    Calibration, DType, Error, Importance, Model, ModelOptions, Result, TensorInfo, TensorSource, decode,
};

use crate::demo;

/// Sums of squares of what the demonstration model's matrices were given. Made with llama.cpp (ggml 0.25), in full precision
/// because it rounds what meets F16 matrices and caches:
///
/// ```text
/// llama-quantize aic-demo-f16.gguf aic-demo-f32.gguf F32
/// llama-imatrix -m aic-demo-f32.gguf -f calibration.txt -c 128 -b 128 -ub 128 -ctk f32 -ctv f32 -fa off --no-ppl \
///     -o calibration.imatrix.gguf
/// ```
const GOLDEN: &[u8] = include_bytes!("../goldens/calibration.imatrix.gguf");
const WINDOWS: usize = 6;

/// Another model whose tensors of some names are filled with one number.
struct Filled {
    inner: File,
    names: &'static [&'static str],
    value: f32,
}

impl TensorSource for Filled {
    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.inner.tensors()
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        self.inner.read_into(tensor, start, out)?;
        if self.names.contains(&tensor.name.as_str()) {
            let filled = aic_quant::encode(&vec![self.value; out.len() / 2], DType::F16)?;
            out.copy_from_slice(&filled);
        }
        Ok(())
    }
}

fn model(filled: &'static [&'static str], value: f32) -> Model {
    let source = Filled { inner: demo::file(), names: filled, value };
    ModelOptions::new().load(&source).unwrap()
}

fn go_on(_: aic_quant::CalibrationProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn importance_of_the_demo_model_is_what_llama_imatrix_computes() {
    let model = demo::model();
    let mut importance = Importance::new();

    let progress = Calibration::new(&model)
        .window(128)
        .importance(&demo::calibration(&model), &mut importance, go_on)
        .unwrap();

    let golden = File::from_bytes(GOLDEN).unwrap();
    let sums: Vec<_> = golden.tensors().iter().filter(|tensor| tensor.name.ends_with(".in_sum2")).collect();
    assert_eq!((progress.done_windows, progress.total_windows), (WINDOWS, WINDOWS));
    assert_eq!(importance.tensors().count(), sums.len());
    for tensor in sums {
        let name = tensor.name.trim_end_matches(".in_sum2");
        let theirs = decode(&golden.read(tensor).unwrap(), DType::F32).unwrap();
        let ours = importance.get(name).unwrap();
        assert_eq!((ours.len(), importance.count(name)), (theirs.len(), 128 * WINDOWS as u64));
        for (mean, sum) in ours.iter().zip(theirs) {
            // Keys and values are 16-bit floats here, 32-bit ones there.
            let mean_of_theirs = sum / (128 * WINDOWS) as f32;
            assert!((mean / mean_of_theirs - 1.0).abs() < 5e-3, "{name}: {mean} {mean_of_theirs}");
        }
    }
}

#[test]
fn run_that_is_broken_off_and_another_that_goes_on_come_to_the_same_sums() {
    let model = demo::model();
    let tokens = demo::calibration(&model);
    let calibration = Calibration::new(&model).window(64);
    let mut at_once = Importance::new();
    calibration.importance(&tokens, &mut at_once, go_on).unwrap();

    let mut in_parts = Importance::new();
    let broken = calibration
        .importance(&tokens, &mut in_parts, |progress| match progress.done_windows {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    assert_eq!((broken.done_windows, broken.total_windows), (2, 13));
    assert_eq!(in_parts.count("blk.3.ffn_down.weight"), 128);
    let rest = calibration.clone().first_window(broken.done_windows);
    rest.importance(&tokens, &mut in_parts, go_on).unwrap();

    assert_eq!(in_parts, at_once);
}

#[test]
fn matrix_of_the_logits_is_observed_only_when_asked_for() {
    let model = demo::model();
    let tokens = demo::calibration(&model);
    let [without, with] = [false, true].map(|output| {
        let mut importance = Importance::new();
        let calibration = Calibration::new(&model).window(32).output(output);
        calibration.importance(&tokens[..64], &mut importance, go_on).unwrap();
        importance
    });

    // The demonstration model uses its embedding for the logits too.
    assert_eq!(without.get("token_embd.weight"), None);
    assert_eq!(with.count("token_embd.weight"), 64);
    assert_eq!(with.tensors().count(), without.tensors().count() + 1);
}

#[test]
fn model_that_wants_a_beginning_reads_it_first_in_every_window() {
    let text = demo::calibration(&demo::model());
    let mut metadata = demo::file().metadata().clone();
    metadata.insert("tokenizer.ggml.add_bos_token", true);
    let model = ModelOptions::new().load(&demo::Described { inner: demo::file(), metadata }).unwrap();
    let read = |model: &Model, tokens: &[u32]| {
        let mut importance = Importance::new();
        Calibration::new(model).window(8).importance(tokens, &mut importance, go_on).unwrap();
        importance
    };

    let mut begun = text[..16].to_vec();
    begun[0] = 0;
    begun[8] = 0;

    assert_eq!(read(&model, &text[..16]), read(&demo::model(), &begun));
    assert_ne!(read(&model, &text[..16]), read(&demo::model(), &text[..16]));
}

#[test]
fn what_cannot_be_calibrated_is_refused_and_adds_nothing() {
    let model = demo::model();
    let tokens = demo::calibration(&model);
    let mut importance = Importance::new();
    let mut refused = |calibration: Calibration<'_>, tokens: &[u32]| {
        calibration.importance(tokens, &mut importance, go_on).unwrap_err()
    };
    for (option, calibration, tokens) in [
        ("window", Calibration::new(&model).window(0), &tokens[..]),
        ("window", Calibration::new(&model).window(513), &tokens[..]),
        ("window", Calibration::new(&model), &tokens[..511]),
        ("first_window", Calibration::new(&model).window(8).first_window(2), &tokens[..23]),
        ("tokens", Calibration::new(&model).window(2), &[1, 1024]),
    ] {
        let error = refused(calibration, tokens);
        assert!(matches!(error, Error::Option { option: named, .. } if named == option), "{error}");
    }
    let broken = self::model(&["blk.2.attn_v.weight"], f32::INFINITY);
    let error = refused(Calibration::new(&broken).window(8), &tokens);
    assert!(matches!(&error, Error::Tensor { name, .. } if name.starts_with("blk.2.")), "{error}");
    assert!(Calibration::new(&broken).window(8).influence(&tokens, go_on).is_err());
    assert_eq!(importance, Importance::new());
}

#[test]
fn layer_that_adds_nothing_has_no_influence_and_the_others_do() {
    let model = model(&["blk.1.attn_output.weight", "blk.1.ffn_down.weight"], 0.0);
    let tokens = demo::calibration(&model);

    let influence = Calibration::new(&model).window(128).influence(&tokens, go_on).unwrap();

    assert_eq!(influence.len(), 4);
    assert!(influence[1].abs() < 1e-6, "{influence:?}");
    assert!([0, 2, 3].iter().all(|layer| (0.01..2.0).contains(&influence[*layer])), "{influence:?}");
}
