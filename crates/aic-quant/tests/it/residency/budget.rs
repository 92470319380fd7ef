//! Nobody passes the budget, in whatever order things happen.
use std::collections::BTreeMap;
use std::time::Duration;

use aic_quant::residency::{Effect, Experience, Form, Input, ModelSpec, Policy, Residency};
use aic_quant::{Device, Memory};
use proptest::prelude::*;

const GPU: Device = Device::Cuda(0);
const TOTAL: u64 = 2000;
const LIMIT: u64 = 850;
const SHARE: f64 = 0.425;

/// Name, bytes, bytes of a smaller variant, bytes of bursts, and whether it is pinned.
const MODELS: [(&str, u64, u64, u64, bool); 5] = [
    ("large", 420, 250, 60, false),
    ("middle", 260, 150, 80, false),
    ("pinned", 150, 90, 40, true),
    ("small", 110, 70, 20, false),
    ("tiny", 40, 25, 90, false),
];

#[derive(Clone, Debug)]
enum Event {
    Acquire(usize),
    Release(usize),
    /// Others use so much from now on.
    Others(u64),
    /// A running model's burst is now this share of its most, in percent.
    Burst(usize, u64),
    /// One of the things under way is done, if anything is.
    Done(usize),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Event> {
    let model = 0..MODELS.len();
    prop_oneof![
        4 => model.clone().prop_map(Event::Acquire),
        3 => model.clone().prop_map(Event::Release),
        2 => (0..600_u64).prop_map(Event::Others),
        2 => (model, 0..=100_u64).prop_map(|(model, percent)| Event::Burst(model, percent)),
        6 => any::<usize>().prop_map(Event::Done),
        1 => (1..400_u64).prop_map(Event::Wait),
    ]
}

/// What is really the case.
struct World {
    residency: Residency,
    now: Duration,
    others: u64,
    held: BTreeMap<String, u64>,
    running: BTreeMap<String, u32>,
    /// Percent of the most.
    bursts: BTreeMap<String, u64>,
    todo: Vec<Effect>,
    pressed: bool,
    /// Whether the process's own use is measured.
    measured: bool,
}

impl World {
    fn new(measured: bool) -> Self {
        let policy = Policy {
            limit_share: SHARE,
            estimate_margin: 0.0,
            climb_dwell: Duration::from_secs(60),
            ..Policy::default()
        };
        let mut residency = Residency::new(policy, Experience::new("world")).unwrap();
        for (name, bytes, small, burst, pinned) in MODELS {
            let spec = ModelSpec::new(name).variant("f16", bytes).variant("int8", small);
            residency.register(spec.burst_bytes(burst).pinned(pinned).devices([GPU])).unwrap();
        }
        let mut world = Self {
            residency,
            now: Duration::ZERO,
            others: 0,
            held: BTreeMap::new(),
            running: BTreeMap::new(),
            bursts: BTreeMap::new(),
            todo: Vec::new(),
            pressed: false,
            measured,
        };
        world.observe();
        world
    }

    fn bursting(&self, percent: impl Fn(&str) -> u64) -> u64 {
        let burst = |name: &str| MODELS.iter().find(|model| model.0 == name).unwrap().3;
        let running = self.running.iter().filter(|(_, running)| **running > 0);
        running.map(|(name, _)| burst(name) * percent(name) / 100).sum()
    }

    fn ours(&self) -> u64 {
        let bursts = self.bursting(|name| self.bursts.get(name).copied().unwrap_or(0));
        self.held.values().sum::<u64>() + bursts
    }

    /// What is used if every running model bursts as much as it may.
    fn worst(&self) -> u64 {
        self.held.values().sum::<u64>() + self.bursting(|_| 100) + self.others
    }

    fn observe(&mut self) {
        let used = self.ours() + self.others;
        let memory = Memory { total_bytes: TOTAL, free_bytes: TOTAL - used };
        let ours_bytes = self.measured.then(|| self.ours());
        self.tell(Input::Observed { device: GPU, memory, ours_bytes });
    }

    fn tell(&mut self, input: Input) {
        for effect in self.residency.step(input, self.now) {
            match effect {
                Effect::Grant { model, requests, .. } => *self.running.entry(model).or_default() += requests,
                Effect::Pressed { .. } => self.pressed = true,
                Effect::Refuse { .. } | Effect::Trim { .. } => {}
                Effect::Load { ref model, ref form } => {
                    let needed = bytes(model, form) + MODELS.iter().find(|one| one.0 == model).unwrap().3;
                    // Whatever was seen of the others, and every burst there may be, leaves room for this.
                    let charge = self.residency.ledger().now(GPU);
                    assert!(charge.total_bytes() <= LIMIT, "{model} of {needed} is loaded beside {charge}");
                    if self.measured {
                        assert!(
                            self.worst() + needed <= LIMIT,
                            "{model} of {needed} beside {}",
                            self.worst()
                        );
                    }
                    // From now on it may take its bytes at any time.
                    self.held.insert(model.clone(), bytes(model, form));
                    self.todo.push(effect);
                }
                effect => self.todo.push(effect),
            }
        }
    }

    fn done(&mut self, which: usize) {
        if self.todo.is_empty() {
            return;
        }
        match self.todo.remove(which % self.todo.len()) {
            Effect::Load { model, .. } => {
                self.tell(Input::Loaded { model, bytes: None, took: Duration::from_secs(1) });
            }
            Effect::Unload { model } => {
                assert_eq!(self.running.get(&model).copied().unwrap_or(0), 0, "{model} is in use");
                self.held.remove(&model).expect("what is unloaded is there");
                self.tell(Input::Unloaded { model });
            }
            Effect::Keep { model } => {
                let unload = Effect::Unload { model: model.clone() };
                if let Some(at) = self.todo.iter().position(|effect| *effect == unload) {
                    self.todo.remove(at);
                    self.tell(Input::Kept { model });
                }
            }
            effect => panic!("{effect:?}"),
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Acquire(model) => self.tell(Input::Acquire { model: MODELS[model].0.to_owned() }),
            Event::Release(model) => {
                let model = MODELS[model].0.to_owned();
                if let Some(running) = self.running.get_mut(&model).filter(|running| **running > 0) {
                    *running -= 1;
                    self.tell(Input::Release { model, burst_bytes: None });
                }
            }
            Event::Others(bytes) => self.others = bytes,
            Event::Burst(model, percent) => drop(self.bursts.insert(MODELS[model].0.to_owned(), percent)),
            Event::Done(which) => self.done(which),
            Event::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.tell(Input::Tick);
            }
        }
        self.observe();
    }

    /// Either the budget is kept, or something is done about it, or it was said that nothing can be.
    fn check(&mut self) {
        let used = self.ours() + self.others;
        let giving = self.todo.iter().any(|effect| matches!(effect, Effect::Unload { .. }));
        let charge = self.residency.ledger().then(GPU);
        self.pressed &= charge.total_bytes() > LIMIT;
        let kept = if self.measured { self.worst() <= LIMIT } else { used <= LIMIT };
        assert!(kept || giving || self.pressed, "{used} of {LIMIT} are used: {charge}");
        assert!(self.residency.ledger().now(GPU).total_bytes() >= used, "the account misses something");
    }
}

fn bytes(model: &str, form: &Form) -> u64 {
    let (_, large, small, ..) = MODELS.iter().find(|one| one.0 == model).unwrap();
    if form.variant == "f16" { *large } else { *small }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_interleaving_passes_the_budget_unnoticed(
        measured in any::<bool>(),
        events in proptest::collection::vec(events(), 1..120),
    ) {
        let mut world = World::new(measured);
        for event in &events {
            world.happen(event);
            world.check();
        }
        // When everything has come to rest nothing is left over.
        while !world.todo.is_empty() {
            world.done(0);
            world.observe();
            world.check();
        }
        let held: u64 = world.held.values().sum();
        prop_assert_eq!(world.residency.ledger().now(GPU).models_bytes, held);
        prop_assert_eq!(world.residency.residents().count(), world.held.len());
    }
}
