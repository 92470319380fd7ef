//! Quantizing whole files: the same bytes however it is done, and nothing half whatever happens.
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aic_quant::gguf::{File, Metadata, Writer};
use aic_quant::{
    DType, Error, Importance, Plan, Progress, Quantizer, Recipe, TensorInfo, TensorSource, decode, encode,
};

use crate::generated::Generated;

/// Names the target of the process that is to be killed.
const VICTIM: &str = "AIC_QUANT_VICTIM";

fn model() -> Generated {
    Generated::new(&[
        ("token_embd.weight", &[700, 512]),
        ("blk.0.attn_norm.weight", &[512]),
        ("blk.0.ffn_up.weight", &[3000, 512]),
        ("blk.0.ffn_down.weight", &[512, 3072]),
    ])
}

fn plan(source: &dyn TensorSource, dtype: DType) -> Plan {
    Recipe::uniform(dtype).plan(source, None).unwrap()
}

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn file_is_the_same_for_any_number_of_threads_and_any_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = model();
    let plan = plan(&source, DType::Q4_K);
    let write = |name: &str, quantizer: Quantizer<'_>| {
        let path = folder.path().join(name);
        let report = quantizer.run(&source, &path, go_on).unwrap();
        (fs::read(path).unwrap(), report.tensors)
    };

    let one = write("one", Quantizer::new(&plan).threads(1));
    let many = write("many", Quantizer::new(&plan).threads(7));
    let small = write("small", Quantizer::new(&plan).threads(2).memory_bytes(100_000));

    assert_eq!(one, many);
    assert_eq!(one.0, small.0);
    assert_eq!(files(folder.path()), ["many", "one", "small"]);
}

#[test]
fn every_tensor_holds_what_encoding_it_whole_gives() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    let source = model();

    let report = Quantizer::new(&plan(&source, DType::Q8_0)).run(&source, &target, go_on).unwrap();

    let written = File::open(&target).unwrap();
    for (tensor, reported) in source.tensors().iter().zip(&report.tensors) {
        let values = decode(&source.read(tensor).unwrap(), tensor.dtype).unwrap();
        let found = written.tensor(&tensor.name).unwrap();
        let expected = if tensor.shape.len() == 1 { DType::F32 } else { DType::Q8_0 };
        assert_eq!((found.dtype, reported.to), (expected, expected));
        assert_eq!(written.read(found).unwrap(), encode(&values, expected).unwrap());
        let error = reported.error.unwrap();
        assert!(if expected == DType::F32 { error == 0.0 } else { error > 0.001 && error < 0.02 }, "{error}");
    }
    assert_eq!(report.file_bytes, fs::metadata(&target).unwrap().len());
}

#[test]
fn stopped_run_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    fs::write(&target, "old").unwrap();
    let source = model();

    let stopped =
        Quantizer::new(&plan(&source, DType::Q8_0)).run(&source, &target, |_| ControlFlow::Break(()));

    assert!(matches!(stopped, Err(Error::Stopped { .. })));
    assert_eq!(files(folder.path()), ["model.gguf"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
}

#[test]
fn resumable_run_goes_on_from_where_it_stopped_and_repairs_what_was_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, target) = (folder.path().join("whole"), folder.path().join("model.gguf"));
    let source = model();
    let plan = plan(&source, DType::Q4_K);
    let quantizer = Quantizer::new(&plan).threads(1).memory_bytes(1 << 20).resumable();
    quantizer.run(&source, &whole, go_on).unwrap();

    let mut slabs = 0;
    let stopped = quantizer.run(&source, &target, |_| {
        slabs += 1;
        if slabs == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
    assert_eq!(files(folder.path()), ["model.gguf.partial", "model.gguf.partial.journal", "whole"]);
    let partial = folder.path().join("model.gguf.partial");
    let mut bytes = fs::read(&partial).unwrap();
    bytes[5000] ^= 1;
    fs::write(&partial, bytes).unwrap();

    let mut first = None;
    let report = quantizer.run(&source, &target, |progress| {
        first.get_or_insert(progress.done_bytes);
        ControlFlow::Continue(())
    });

    let report = report.unwrap();
    // Six slabs were done, one of them was damaged since.
    assert!(report.resumed_bytes > 0 && first.unwrap() > report.resumed_bytes);
    assert_eq!(fs::read(&target).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(files(folder.path()), ["model.gguf", "whole"]);
}

#[test]
fn remains_of_another_job_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, target) = (folder.path().join("whole"), folder.path().join("model.gguf"));
    let source = model();
    let (other, wanted) = (plan(&source, DType::Q4_0), plan(&source, DType::Q5_0));
    let stop = |_: Progress<'_>| ControlFlow::Break(());
    assert!(Quantizer::new(&other).resumable().run(&source, &target, stop).is_err());

    let report = Quantizer::new(&wanted).run(&source, &target, go_on).unwrap();

    assert_eq!(report.resumed_bytes, 0);
    Quantizer::new(&wanted).run(&source, &whole, go_on).unwrap();
    assert_eq!(fs::read(&target).unwrap(), fs::read(&whole).unwrap());
}

#[test]
fn killed_process_leaves_the_target_absent_and_its_work_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["quantize::writes_until_it_is_killed", "--exact", "--nocapture"])
        .env(VICTIM, &target)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let ready = output.lines().any(|line| line.unwrap().contains("waiting to be killed"));
    let busy = Quantizer::new(&plan(&model(), DType::Q4_K)).run(&model(), &target, go_on);
    victim.kill().unwrap();
    victim.wait().unwrap();

    assert!(ready);
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    assert!(!target.exists());
    let source = model();
    let plan = plan(&source, DType::Q4_K);
    let report = Quantizer::new(&plan).threads(1).memory_bytes(1 << 20).run(&source, &target, go_on).unwrap();
    assert!(report.resumed_bytes > 0);
    assert_eq!(File::open(&target).unwrap().tensors().len(), 4);
    assert_eq!(files(folder.path()), ["model.gguf"]);
}

/// What the test before runs as a process of its own.
#[test]
fn writes_until_it_is_killed() {
    let Ok(target) = std::env::var(VICTIM) else { return };
    let source = model();
    let plan = plan(&source, DType::Q4_K);
    let mut slabs = 0;
    let _ = Quantizer::new(&plan).threads(1).memory_bytes(1 << 20).run(&source, target, |_| {
        slabs += 1;
        if slabs == 5 {
            println!("waiting to be killed");
            std::thread::sleep(Duration::from_secs(60));
        }
        ControlFlow::Continue(())
    });
}

#[test]
fn numbers_that_are_not_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    for (wrong, name) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let mut values = vec![0.5_f32; 8 * 64];
        values[3 * 64 + 7] = wrong;
        let mut writer = Writer::new(Metadata::new());
        writer.tensor("output.weight", &[8, 64], DType::F16).unwrap();
        let source =
            File::from_bytes(writer.to_vec(|tensor| encode(&values, tensor.dtype)).unwrap()).unwrap();

        for dtype in [DType::Q8_0, DType::F16] {
            let refused = Quantizer::new(&plan(&source, dtype)).run(&source, &target, go_on);

            let message = refused.unwrap_err().to_string();
            let expected = format!("tensor `output.weight` has the value {name} in row 3, column 7;");
            assert!(message.starts_with(&expected), "{message}");
        }
        assert!(files(folder.path()).is_empty());
    }
}

#[test]
fn model_that_the_disk_cannot_hold_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let source = Generated::new(&[("token_embd.weight", &[1 << 36, 4096])]);
    let plan = plan(&source, DType::Q4_0);
    let quantizer = Quantizer::new(&plan);

    let refused = quantizer.run(&source, folder.path().join("model.gguf"), go_on);

    let Err(Error::NoSpace { needed_bytes: Some(needed), free_bytes: Some(free), .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(needed > 1 << 47 && free < needed);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn importance_of_another_model_and_a_plan_of_another_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    let source = model();
    let mut importance = Importance::new();
    importance.add("blk.0.ffn_up.weight", &[1.0; 511], 1).unwrap();
    let plan = plan(&source, DType::Q4_K);
    let refused = Quantizer::new(&plan).importance(&importance).run(&source, &target, go_on);
    assert!(refused.unwrap_err().to_string().contains("has 512 columns, but the importance is of 511"));

    let other = Generated::new(&[("output.weight", &[512, 512])]);
    assert!(matches!(Quantizer::new(&plan).run(&other, &target, go_on), Err(Error::Tensor { .. })));

    let few_threads = Quantizer::new(&plan).threads(0).run(&source, &target, go_on);
    assert!(matches!(few_threads, Err(Error::Option { option: "threads", .. })));
    let no_memory = Quantizer::new(&plan).memory_bytes(1000).run(&source, &target, go_on);
    assert!(no_memory.unwrap_err().to_string().contains("use fewer threads or allow more memory"));
    assert!(files(folder.path()).is_empty());
}

/// A source whose rows change between two readings of them, as memory that fails would make them.
struct Failing(Generated);

impl TensorSource for Failing {
    fn metadata(&self) -> &Metadata {
        self.0.metadata()
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.0.tensors()
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> aic_quant::Result<()> {
        if start > 0 && tensor.name == "blk.0.ffn_down.weight" {
            return Err(Error::Empty { what: "disk" });
        }
        self.0.read_into(tensor, start, out)
    }
}

#[test]
fn source_that_fails_half_way_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = Failing(model());
    let plan = plan(&source, DType::Q8_0);
    let quantizer = Quantizer::new(&plan).memory_bytes(1 << 20);

    assert!(matches!(quantizer.run(&source, folder.path().join("m.gguf"), go_on), Err(Error::Empty { .. })));
    assert!(files(folder.path()).is_empty());
}
