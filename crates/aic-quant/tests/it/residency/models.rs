//! The engine's own models under a keeper: real files, and a machine with as much memory as a test says.
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aic_quant::residency::{Experience, Form, Keeper, Loader, Models, Policy, Refusal, Residency};
use aic_quant::{
    CacheType, DType, Device, DeviceMemory, Error, Footprint, GenerateOptions, Memory, Model, ModelOptions,
    Quantizer, Recipe, footprint,
};

/// The context wanted, which is that of the model, and the shortest that is offered for it.
const CONTEXT: usize = 512;
const LEAST: usize = 256;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models").join(name)
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../aic/models/aic-demo-f16.gguf")
}

fn options() -> ModelOptions {
    ModelOptions::new().threads(1).max_context(CONTEXT)
}

fn needs(path: &Path, options: &ModelOptions) -> Footprint {
    footprint(&*aic_quant::open(path).unwrap(), options).unwrap()
}

/// A machine with so much memory, of which nobody else uses any.
#[derive(Clone, Debug, Default)]
struct Machine(Arc<AtomicU64>);

impl Machine {
    /// Lets models have `bytes` together.
    fn allow(&self, bytes: u64) {
        self.0.store((bytes as f64 / Policy::default().limit_share).ceil() as u64 + 1, Ordering::Relaxed);
    }
}

impl DeviceMemory for Machine {
    fn memory(&self, device: Device) -> Option<Memory> {
        let total_bytes = self.0.load(Ordering::Relaxed);
        (device == Device::Cpu).then_some(Memory { total_bytes, free_bytes: total_bytes })
    }
}

/// A keeper of models, each with its files, on a machine that lets them have `bytes`.
fn keeper(models: &[(&str, &[PathBuf])], bytes: u64) -> (Keeper<Models>, Machine) {
    // Estimates are exact, and no model is loaded that nobody asked for.
    let policy = Policy { estimate_margin: 0.0, prefetch_chance: 2.0, ..Policy::default() };
    let mut residency = Residency::new(policy, Experience::new("test")).unwrap();
    let mut loader = Models::new();
    for (name, files) in models {
        residency.register(loader.add(*name, files.to_vec(), options()).unwrap()).unwrap();
    }
    let machine = Machine::default();
    machine.allow(bytes);
    (Keeper::new(residency, loader, machine.clone()), machine)
}

fn second(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// What the model answers, always the likeliest token.
fn answer(model: &Model) -> String {
    let greedy = GenerateOptions { temperature: 0.0, max_tokens: 24, ..GenerateOptions::default() };
    model.complete("What is the capital of France?", &greedy).unwrap().text().unwrap()
}

#[test]
fn models_are_loaded_when_they_are_wanted_and_the_idle_one_gives_way() {
    let files = [demo()];
    let all = needs(&files[0], &options()).total_bytes();
    let least = needs(&files[0], &options().max_context(LEAST)).total_bytes();
    let (mut keeper, _) = keeper(&[("a", &files), ("b", &files)], all + least / 2);
    assert_eq!(keeper.residency().residents().count(), 0);

    keeper.acquire("a", second(1)).unwrap();
    let whole = keeper.loader().get("a").unwrap();
    assert_eq!(whole.max_context(), CONTEXT);
    drop(whole);
    keeper.release("a", None, second(2));
    keeper.acquire("b", second(3)).unwrap();

    assert!(keeper.loader().get("b").is_some());
    assert!(keeper.loader().get("a").is_none(), "{:?}", keeper.residency());
}

#[test]
fn model_in_use_stays_and_who_finds_no_room_is_told_to_try_again() {
    let files = [demo()];
    let all = needs(&files[0], &options()).total_bytes();
    let least = needs(&files[0], &options().max_context(LEAST)).total_bytes();
    let (mut keeper, _) = keeper(&[("a", &files), ("b", &files)], all + least / 2);
    keeper.acquire("a", second(1)).unwrap();

    let refused = keeper.acquire("b", second(2)).unwrap_err();

    let Error::NotAdmitted { reason, .. } = &refused else { panic!("{refused}") };
    assert!(reason.is_temporary() && matches!(reason, Refusal::NoRoom { .. }), "{refused}");
    assert!(keeper.loader().get("a").is_some());
    keeper.release("a", None, second(3));
    assert!(keeper.acquire("b", second(4)).is_ok());
}

#[test]
fn smaller_file_is_taken_where_the_best_has_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (demo(), folder.path().join("small.gguf"));
    let plan = Recipe::uniform(DType::Q4_0).plan(&*aic_quant::open(&large).unwrap(), None).unwrap();
    let source = aic_quant::open(&large).unwrap();
    Quantizer::new(&plan).run(&*source, &small, |_| ControlFlow::Continue(())).unwrap();
    let all = needs(&small, &options()).total_bytes();
    let (mut keeper, machine) = keeper(&[("chat", &[large.clone(), small])], all);

    let form = keeper.acquire("chat", second(1)).unwrap();
    assert_eq!(form.variant, "small", "{form}");
    assert_eq!(keeper.loader().get("chat").unwrap().info().dtype, DType::Q4_0);
    keeper.release("chat", None, second(2));

    // With more memory it becomes what was wanted, when there has been room for a minute.
    machine.allow(2 * needs(&large, &options()).total_bytes());
    (3..80).for_each(|at| keeper.tick(second(at)));
    assert_eq!(keeper.loader().get("chat").unwrap().info().dtype, DType::F16);
}

#[test]
fn model_becomes_smaller_and_larger_without_its_file_and_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.gguf");
    fs::copy(demo(), &path).unwrap();
    let (all, least) = (needs(&path, &options()), needs(&path, &options().max_context(LEAST)));
    assert!(least.total_bytes() < all.total_bytes());
    let (mut keeper, machine) = keeper(&[("chat", slice::from_ref(&path))], all.total_bytes());
    keeper.acquire("chat", second(1)).unwrap();
    let before = answer(&keeper.loader().get("chat").unwrap());
    keeper.release("chat", None, second(2));
    fs::remove_file(&path).unwrap();

    machine.allow(least.total_bytes());
    keeper.tick(second(3));

    let small = keeper.loader().get("chat").unwrap();
    assert_eq!(small.max_context(), LEAST);
    assert_eq!(answer(&small), before);
    drop(small);
    let charge = keeper.residency().ledger().now(Device::Cpu);
    assert_eq!(charge.models_bytes, least.total_bytes(), "what is counted is what the engine counts");
    machine.allow(2 * all.total_bytes());
    (4..80).for_each(|at| keeper.tick(second(at)));
    let large = keeper.loader().get("chat").unwrap();
    assert_eq!(large.max_context(), CONTEXT);
    assert_eq!(answer(&large), before);
    // Nothing was loaded again: that would need the file.
    drop(large);
    keeper.acquire("chat", second(90)).unwrap();
}

#[test]
fn keys_and_values_in_fewer_bits_take_what_the_engine_counts() {
    let mut models = Models::new();
    let spec = models.add("chat", [demo()], options().cache_tokens(2 * CONTEXT)).unwrap();
    let mut residency = Residency::new(Policy::default(), Experience::new("test")).unwrap();
    residency.register(spec).unwrap();
    let machine = Machine::default();
    machine.allow(1 << 40);
    let mut keeper = Keeper::new(residency, models, machine);
    let mut form: Form = keeper.acquire("chat", second(1)).unwrap();
    let (_, mut models) = keeper.into_parts();

    for (dtype, cache_type) in [(DType::Q8_0, CacheType::Q8_0), (DType::Q4_0, CacheType::Q4_0)] {
        (form.cache, form.context) = (dtype, LEAST as u64);

        let counted = models.resize("chat", &form).unwrap();

        let same = options().cache_type(cache_type).max_context(LEAST).cache_tokens(2 * LEAST);
        assert_eq!(counted, Some(needs(&demo(), &same).total_bytes()));
        assert_eq!(models.get("chat").unwrap().max_context(), LEAST);
    }
    form.cache = DType::Q5_1;
    assert!(matches!(models.resize("chat", &form), Err(Error::Option { option: "cache", .. })));
}

#[test]
fn what_cannot_be_added_says_why() {
    let mut models = Models::new();
    let none: [PathBuf; 0] = [];
    let file = golden("llama3.gguf");
    let add = |models: &mut Models, name: &str, files: &[PathBuf]| {
        models.add(name, files.to_vec(), options()).map(drop)
    };
    add(&mut models, "chat", slice::from_ref(&file)).unwrap();

    for (name, files, named) in [
        ("chat", vec![file.clone()], "`chat`"),
        ("empty", none.to_vec(), "an empty list"),
        ("twice", vec![file.clone(), file.clone()], "twice"),
        ("mixed", vec![file.clone(), golden("qwen3.gguf")], "qwen3.gguf"),
        ("gone", vec!["no/such.gguf".into()], "no/such.gguf"),
        ("encoder", vec![golden("bert.gguf")], "bert"),
    ] {
        let error = add(&mut models, name, &files).unwrap_err();
        assert!(error.to_string().contains(named), "{name}: {error}");
    }
    let narrow = models.add("narrow", [file], options().max_context(1)).unwrap_err();
    assert!(matches!(narrow, Error::Option { option: "max_context", .. }), "{narrow}");
    assert!(models.get("chat").is_none(), "nothing is loaded by being known");
}

#[test]
fn files_of_the_same_name_are_told_apart_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| folder.path().join(name).join("model.gguf"));
    for path in &files {
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::copy(golden("llama3.gguf"), path).unwrap();
    }

    let (mut keeper, _) = keeper(&[("chat", &files)], 1 << 40);

    let form = keeper.acquire("chat", second(1)).unwrap();
    assert_eq!(form.variant, files[0].display().to_string());
}
