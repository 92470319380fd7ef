use std::collections::VecDeque;
use std::time::Duration;

use super::super::model::CacheShape;
use super::*;
use crate::{DType, Memory};

const GIB: u64 = 1 << 30;
const GPU: Device = Device::Cuda(0);

/// A residency with a GPU of 20 GiB and a processor of 40 GiB, half of which may be used.
struct Bench {
    residency: Residency,
    now: Duration,
    /// What is to be done and was not done yet.
    todo: VecDeque<Effect>,
    /// What was done, granted or refused.
    done: Vec<String>,
}

impl Bench {
    fn new(specs: impl IntoIterator<Item = ModelSpec>) -> Self {
        Self::with(
            Policy { limit_share: 0.5, estimate_margin: 0.0, prefetch_chance: 2.0, ..Policy::default() },
            specs,
        )
    }

    fn with(policy: Policy, specs: impl IntoIterator<Item = ModelSpec>) -> Self {
        let mut residency = Residency::new(policy, Experience::new("bench")).unwrap();
        specs.into_iter().for_each(|spec| residency.register(spec).unwrap());
        let mut bench = Self { residency, now: hours(9), todo: VecDeque::new(), done: Vec::new() };
        bench.others(0);
        bench.observe(Device::Cpu, 40, 0);
        bench
    }

    /// Something happens; what is to be done is left to do.
    fn tell(&mut self, input: Input) {
        let effects = self.residency.step(input, self.now);
        for effect in effects {
            match effect {
                Effect::Grant { model, requests, .. } => self.done.push(format!("grant {model} {requests}")),
                Effect::Refuse { model, requests, .. } => {
                    self.done.push(format!("refuse {model} {requests}"));
                }
                Effect::Trim { device } => self.done.push(format!("trim {device}")),
                Effect::Pressed { device, .. } => self.done.push(format!("pressed {device}")),
                effect => self.todo.push_back(effect),
            }
        }
    }

    /// Does what is to be done, until nothing is.
    fn settle(&mut self) {
        while let Some(effect) = self.todo.pop_front() {
            match effect {
                Effect::Load { model, form } => {
                    self.done.push(format!("load {model}: {form}"));
                    self.tell(Input::Loaded { model, bytes: None, took: Duration::from_secs(1) });
                }
                Effect::Unload { model } => {
                    self.done.push(format!("unload {model}"));
                    self.tell(Input::Unloaded { model });
                }
                Effect::Resize { model, form } => {
                    self.done.push(format!("resize {model}: {form}"));
                    self.tell(Input::Resized { model, bytes: None });
                }
                Effect::Keep { model } => self.tell(Input::Kept { model }),
                effect => panic!("{effect:?} is not to be done"),
            }
        }
    }

    fn acquire(&mut self, model: &str) -> Vec<String> {
        self.tell(Input::Acquire { model: model.to_owned() });
        self.settle();
        mem::take(&mut self.done)
    }

    fn release(&mut self, model: &str) -> Vec<String> {
        self.tell(Input::Release { model: model.to_owned(), burst_bytes: None });
        self.settle();
        mem::take(&mut self.done)
    }

    fn touch(&mut self, model: &str) -> Vec<String> {
        let mut done = self.acquire(model);
        done.extend(self.release(model));
        done
    }

    /// Time passes.
    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.tell(Input::Tick);
        self.settle();
        mem::take(&mut self.done)
    }

    /// Others use so many GiB of the GPU.
    fn others(&mut self, gib: u64) -> Vec<String> {
        let ours = self.residency.ledger.now(GPU).models_bytes;
        self.observe(GPU, 20, gib * GIB + ours);
        self.settle();
        mem::take(&mut self.done)
    }

    fn observe(&mut self, device: Device, gib: u64, used: u64) {
        let memory = Memory { total_bytes: gib * GIB, free_bytes: (gib * GIB).saturating_sub(used) };
        self.tell(Input::Observed { device, memory, ours_bytes: None });
    }

    fn resident(&self) -> Vec<&str> {
        self.residency.residents().map(|(name, _)| name).collect()
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A model on the GPU that can become nothing else.
fn plain(name: &str, gib: u64) -> ModelSpec {
    ModelSpec::new(name).variant("f16", gib * GIB).devices([GPU])
}

/// A model of 4 GiB, with a cache of 4 GiB that can become 1 GiB, and 1 GiB of prefixes.
fn chat() -> ModelSpec {
    let cache = CacheShape { layers: 32, heads: 8, head_size: 128, sequences: 1, ..CacheShape::default() };
    plain("chat", 4).cache(cache, 32768, 8192).prefix_bytes(GIB)
}

#[test]
fn model_is_loaded_once_and_granted_to_all_who_wait_for_it() {
    let mut bench = Bench::new([plain("a", 4)]);
    for _ in 0..3 {
        bench.tell(Input::Acquire { model: "a".to_owned() });
    }
    bench.settle();
    assert_eq!(bench.done, ["load a: f16 on cuda:0", "grant a 3"]);
    bench.done.clear();
    assert_eq!(bench.acquire("a"), ["grant a 1"]);
}

#[test]
fn load_waits_until_the_room_is_really_there() {
    let mut bench = Bench::new([plain("a", 6), plain("b", 6)]);
    bench.touch("a");

    bench.tell(Input::Acquire { model: "b".to_owned() });

    assert_eq!(bench.todo, [Effect::Unload { model: "a".to_owned() }]);
    bench.settle();
    assert_eq!(bench.done, ["unload a", "load b: f16 on cuda:0", "grant b 1"]);
}

#[test]
fn likely_and_slow_model_stays_and_the_other_goes() {
    let fast = plain("fast", 4).reload(Duration::from_secs(1));
    let slow = plain("slow", 4).reload(Duration::from_secs(60));
    for order in [["fast", "slow"], ["slow", "fast"]] {
        let mut bench = Bench::new([fast.clone(), slow.clone(), plain("new", 5)]);
        // Loads are not timed here, so that what was expected of them stands.
        for model in order {
            bench.tell(Input::Acquire { model: model.to_owned() });
            let took = if model == "slow" { 60 } else { 1 };
            bench.todo.clear();
            bench.tell(Input::Loaded {
                model: model.to_owned(),
                bytes: None,
                took: Duration::from_secs(took),
            });
            bench.release(model);
        }
        bench.acquire("new");
        assert_eq!(bench.resident(), ["new", "slow"]);
    }
}

#[test]
fn busy_pinned_and_fresh_models_are_not_unloaded() {
    let specs = [
        plain("busy", 3),
        plain("pinned", 3).pinned(true),
        plain("fresh", 3).minimum_residency(minutes(5)),
        plain("new", 3),
    ];
    let mut bench = Bench::new(specs);
    bench.acquire("busy");
    bench.touch("pinned");
    bench.touch("fresh");

    assert_eq!(bench.acquire("new"), ["refuse new 1"]);

    bench.wait(minutes(5));
    assert_eq!(bench.acquire("new"), ["unload fresh", "load new: f16 on cuda:0", "grant new 1"]);
}

#[test]
fn prefixes_and_contexts_of_idle_models_go_before_models() {
    let mut bench = Bench::new([chat(), plain("a", 1), plain("b", 1), plain("c", 3)]);
    bench.touch("chat");
    bench.touch("a");
    assert_eq!(bench.touch("b")[0], "resize chat: f16 on cuda:0, context 32768 in F16");
    assert_eq!(
        bench.touch("c"),
        ["resize chat: f16 on cuda:0, context 8192 in F16", "load c: f16 on cuda:0", "grant c 1"]
    );
    assert_eq!(bench.resident(), ["a", "b", "c", "chat"]);
}

#[test]
fn busy_model_gives_its_prefixes_and_nothing_that_its_requests_use() {
    let mut bench = Bench::new([chat(), plain("a", 2), plain("b", 2)]);
    bench.acquire("chat");
    assert_eq!(bench.acquire("a")[0], "resize chat: f16 on cuda:0, context 32768 in F16");
    assert_eq!(bench.acquire("b"), ["refuse b 1"]);
}

#[test]
fn model_that_finds_no_room_goes_down_its_ladder_and_is_refused_below_it() {
    let model = chat().variant("q4_k", 2 * GIB).devices([GPU, Device::Cpu]);
    for (others, form) in [
        (0, "load chat: f16 on cuda:0, context 32768 in F16, 1.00 GiB of prefixes"),
        (2, "load chat: f16 on cuda:0, context 32768 in F16"),
        (4, "load chat: f16 on cuda:0, context 16384 in F16"),
        (5, "load chat: f16 on cuda:0, context 8192 in F16"),
        (6, "load chat: q4_k on cuda:0, context 16384 in F16"),
        (8, "load chat: f16 on cpu, context 32768 in F16, 1.00 GiB of prefixes"),
    ] {
        let mut bench = Bench::new([model.clone()]);
        bench.others(others);
        assert_eq!(bench.acquire("chat")[0], form, "others have {others} GiB");
    }
    let mut bench = Bench::new([chat()]);
    bench.others(8);
    assert_eq!(bench.acquire("chat"), ["refuse chat 1"]);
}

#[test]
fn model_that_became_smaller_grows_when_there_has_been_room_for_a_minute() {
    let mut bench = Bench::new([chat()]);
    bench.others(4);
    bench.touch("chat");
    bench.others(0);
    assert_eq!(bench.wait(minutes(0)), [""; 0]);
    assert_eq!(bench.wait(Duration::from_secs(59)), [""; 0]);
    bench.others(4);
    bench.wait(Duration::from_secs(1));
    bench.others(0);
    assert_eq!(bench.wait(Duration::from_secs(59)), [""; 0], "the room was gone in between");
    assert_eq!(
        bench.wait(Duration::from_secs(60)),
        ["resize chat: f16 on cuda:0, context 32768 in F16, 1.00 GiB of prefixes"]
    );
    assert_eq!(bench.wait(minutes(2)), [""; 0]);
}

#[test]
fn model_wanted_again_is_saved_and_somebody_else_gives_way() {
    let mut bench = Bench::new([plain("a", 5), plain("b", 5), plain("c", 5)]);
    bench.touch("a");
    bench.touch("b");
    bench.tell(Input::Acquire { model: "c".to_owned() });
    let Some(Effect::Unload { model: victim }) = bench.todo.pop_front() else { panic!("nobody gives way") };
    let other = if victim == "a" { "b" } else { "a" };

    bench.tell(Input::Acquire { model: victim.clone() });
    assert_eq!(bench.todo, [Effect::Keep { model: victim.clone() }]);
    bench.settle();

    let expected = [
        format!("grant {victim} 1"),
        format!("unload {other}"),
        "load c: f16 on cuda:0".into(),
        "grant c 1".into(),
    ];
    assert_eq!(bench.done, expected);
}

#[test]
fn model_wanted_again_too_late_must_find_room_anew() {
    let mut bench = Bench::new([plain("a", 6), plain("b", 4), plain("c", 6)]);
    bench.touch("a");
    bench.touch("b");
    bench.tell(Input::Acquire { model: "c".to_owned() });
    assert_eq!(bench.todo.pop_front(), Some(Effect::Unload { model: "a".to_owned() }));
    bench.tell(Input::Acquire { model: "a".to_owned() });
    bench.todo.clear();

    bench.tell(Input::Unloaded { model: "a".to_owned() });
    bench.settle();

    assert_eq!(bench.done, ["refuse a 1", "load c: f16 on cuda:0", "grant c 1"]);
}

#[test]
fn others_that_grow_push_models_out_and_pressure_is_told_once() {
    let mut bench = Bench::new([plain("idle", 4), plain("busy", 4)]);
    bench.touch("idle");
    bench.acquire("busy");
    assert_eq!(bench.others(4), ["unload idle"]);
    assert_eq!(bench.others(8), ["pressed cuda:0"]);
    assert_eq!(bench.others(9), [""; 0]);
    assert_eq!(bench.release("busy"), ["unload busy"]);
    assert_eq!(bench.others(12), ["pressed cuda:0"]);
}

#[test]
fn pinned_model_under_pressure_moves_to_its_smaller_variant_or_the_processor() {
    let pinned = |spec: ModelSpec| Bench::new([spec.pinned(true)]);
    let mut bench = pinned(plain("a", 6).variant("q4_k", 3 * GIB));
    bench.touch("a");
    assert_eq!(bench.others(5), ["unload a", "load a: q4_k on cuda:0"]);

    let mut bench = pinned(plain("a", 6).devices([GPU, Device::Cpu]));
    bench.touch("a");
    assert_eq!(bench.others(5), ["unload a", "load a: f16 on cpu"]);

    let mut bench = pinned(plain("a", 6));
    bench.touch("a");
    assert_eq!(bench.others(5), ["pressed cuda:0"]);
}

#[test]
fn load_that_runs_out_of_memory_is_tried_smaller_and_any_other_failure_is_told() {
    let mut bench = Bench::new([chat()]);
    let failed =
        |out_of_memory| Input::Failed { model: "chat".to_owned(), reason: "no".to_owned(), out_of_memory };
    bench.tell(Input::Acquire { model: "chat".to_owned() });
    bench.todo.clear();
    bench.tell(failed(true));
    assert!(
        matches!(&bench.todo[0], Effect::Load { form, .. } if form.prefix_bytes == 0),
        "{:?}",
        bench.todo
    );
    bench.todo.clear();
    bench.tell(failed(false));
    assert_eq!(mem::take(&mut bench.done), ["refuse chat 1"]);
    assert_eq!(bench.residency.ledger.then(GPU).models_bytes, 0);
    assert_eq!(bench.acquire("chat").len(), 2, "the next one may try again");
}

#[test]
fn estimates_are_corrected_by_what_loads_really_took() {
    let spec = |name: &str| plain(name, 2).family("llama", "candle");
    let mut bench = Bench::new([spec("a"), spec("b"), plain("c", 2)]);
    let load = |bench: &mut Bench, model: &str, gib| {
        bench.tell(Input::Acquire { model: model.to_owned() });
        bench.todo.clear();
        let reserved = bench.residency.ledger.then_of(GPU, model).0;
        let took = Duration::from_secs(1);
        bench.tell(Input::Loaded { model: model.to_owned(), bytes: Some(gib * GIB), took });
        reserved
    };
    assert_eq!(load(&mut bench, "a", 3), 2 * GIB);
    assert_eq!(bench.residency.ledger.now(GPU).models_bytes, 3 * GIB);
    let b = load(&mut bench, "b", 3);
    assert!(b.abs_diff(3 * GIB) < 10, "{b}");
    assert_eq!(load(&mut bench, "c", 2), 2 * GIB, "of another family");
    assert_eq!(bench.residency.experience().corrections()[0].backend, "candle/cuda");
}

#[test]
fn bursts_seen_are_provided_for_and_trimmed_after() {
    let mut bench = Bench::new([plain("a", 4).burst_bytes(GIB), plain("b", 4)]);
    bench.acquire("a");
    bench.acquire("a");
    assert_eq!(bench.residency.ledger.now(GPU).bursts_bytes, GIB);
    bench.tell(Input::Release { model: "a".to_owned(), burst_bytes: Some(3 * GIB) });
    assert_eq!(bench.residency.ledger.now(GPU).bursts_bytes, 3 * GIB);
    assert_eq!(bench.done, [""; 0], "another request is running");
    assert_eq!(bench.release("a"), ["trim cuda:0"]);
    assert_eq!(bench.acquire("b")[0], "unload a");
}

#[test]
fn idle_model_is_unloaded_after_its_time_unless_it_is_pinned() {
    let mut bench = Bench::new([plain("a", 1), plain("b", 1).pinned(true), plain("c", 1)]);
    bench.touch("a");
    bench.touch("b");
    bench.acquire("c");
    assert_eq!(bench.wait(minutes(14)), [""; 0]);
    assert_eq!(bench.wait(minutes(1)), ["unload a"]);
    assert_eq!(bench.resident(), ["b", "c"]);
}

#[test]
fn likely_next_model_is_loaded_ahead_into_free_room_only() {
    let policy =
        Policy { limit_share: 0.5, estimate_margin: 0.0, idle: Some(minutes(1)), ..Policy::default() };
    for (gib, loads) in [(4, true), (7, false)] {
        let mut bench = Bench::with(policy, [plain("speech", 4), plain("chat", gib)]);
        for _ in 0..10 {
            bench.touch("speech");
            bench.touch("chat");
        }
        bench.wait(minutes(1));
        assert_eq!(bench.resident(), [""; 0]);
        let done = bench.touch("speech");
        assert_eq!(done.iter().any(|done| done.starts_with("load chat")), loads, "{done:?}");
    }
}

#[test]
fn preferred_place_is_moved_to_when_nobody_uses_the_model() {
    let mut bench = Bench::new([plain("tts", 2).variant("int8", GIB).devices([GPU, Device::Cpu])]);
    bench.acquire("tts");
    bench.residency.prefer("tts", Device::Cpu, "int8").unwrap();
    assert_eq!(bench.wait(minutes(2)), [""; 0]);
    bench.release("tts");
    assert_eq!(bench.wait(minutes(2)), [""; 0]);
    assert_eq!(bench.wait(minutes(2)), ["unload tts", "load tts: int8 on cpu"]);
    assert_eq!(bench.wait(minutes(2)), [""; 0]);
    assert!(bench.residency.prefer("tts", Device::Metal(0), "int8").is_err());
    assert!(bench.residency.prefer("tts", Device::Cpu, "q2_k").is_err());
    assert!(bench.residency.prefer("asr", Device::Cpu, "int8").is_err());
}

#[test]
fn abandoned_request_frees_its_claim() {
    let mut bench = Bench::new([plain("a", 6), plain("b", 6)]);
    bench.touch("a");
    bench.tell(Input::Acquire { model: "b".to_owned() });
    bench.tell(Input::Abandon { model: "b".to_owned() });
    bench.settle();
    assert_eq!(bench.done, ["unload a"]);
    assert_eq!(bench.residency.ledger.then(GPU).total_bytes(), 0);
}

#[test]
fn refusal_says_what_is_needed_and_what_is_missing() {
    let mut bench = Bench::new([plain("busy", 8), plain("huge", 12), plain("b", 3)]);
    bench.acquire("busy");
    let mut refusal = |model: &str| {
        let effects = bench.residency.step(Input::Acquire { model: model.to_owned() }, hours(9));
        let Some(Effect::Refuse { reason, .. }) = effects.into_iter().next() else { panic!("not refused") };
        (reason.to_string(), reason.is_temporary())
    };
    assert_eq!(refusal("nobody"), ("no model of this name is registered".to_owned(), false));
    let (huge, temporary) = refusal("huge");
    assert!(huge.contains("needs 12.00 GiB and the limit is 10.00 GiB") && !temporary, "{huge}");
    let (full, temporary) = refusal("b");
    assert!(full.contains("needs 3.00 GiB and cuda:0 is short of 1.00 GiB") && temporary, "{full}");
}

#[test]
fn answers_that_were_not_asked_for_change_nothing() {
    let mut bench = Bench::new([plain("a", 4)]);
    bench.touch("a");
    let before = format!("{:?}", bench.residency);
    let [model, nobody] = ["a", "nobody"].map(str::to_owned);
    for model in [model, nobody] {
        bench.tell(Input::Loaded { model: model.clone(), bytes: Some(1), took: Duration::ZERO });
        bench.tell(Input::Unloaded { model: model.clone() });
        bench.tell(Input::Kept { model: model.clone() });
        bench.tell(Input::Resized { model: model.clone(), bytes: Some(1) });
        bench.tell(Input::Release { model: model.clone(), burst_bytes: Some(1) });
        bench.tell(Input::Abandon { model: model.clone() });
        bench.tell(Input::Failed { model, reason: String::new(), out_of_memory: true });
    }
    assert_eq!(format!("{:?}", bench.residency), before);
    assert!(bench.todo.is_empty() && bench.done.is_empty());
}

#[test]
fn resize_that_fails_leaves_the_model_as_it_was() {
    let mut bench = Bench::new([chat(), plain("a", 2)]);
    bench.touch("chat");
    bench.tell(Input::Acquire { model: "a".to_owned() });
    let Some(Effect::Resize { model, .. }) = bench.todo.pop_front() else { panic!("{:?}", bench.todo) };
    bench.tell(Input::Failed { model, reason: "no".to_owned(), out_of_memory: false });
    assert_eq!(bench.residency.ledger.now(GPU).models_bytes, 9 * GIB);
    let (_, form) = bench.residency.residents().next().unwrap();
    assert_eq!((form.context, form.cache, form.prefix_bytes), (32768, DType::F16, GIB));
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut bench = Bench::new([plain("a", 1)]);
    bench.touch("a");
    bench.now = Duration::ZERO;
    bench.touch("a");
    assert_eq!(bench.wait(minutes(15)), [""; 0], "by its clock no time has passed");
}

#[test]
fn name_that_is_taken_is_refused() {
    let mut bench = Bench::new([plain("a", 1)]);
    assert!(matches!(bench.residency.register(plain("a", 2)), Err(Error::Option { option: "model", .. })));
}
