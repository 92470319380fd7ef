use std::collections::BTreeMap;
use std::fmt;

use super::bytes::Gib;
use crate::{Device, DeviceMemory, Memory};

/// The share of a device's memory that may be used when nothing else is said.
pub(super) const DEFAULT_SHARE: f64 = 0.85;

/// Who has how many bytes of each device: models, their bursts, and everybody else.
///
/// A model's bytes are an estimate while it is claimed and loading, and what was measured afterwards. Others' use is what the
/// device says is used less what is ours. The rule that nobody may break:
/// `models + bursts (p99) + others ≤ share · total`.
///
/// Everything is counted twice, as it is now and as it will be when what is under way is done: a model that is being unloaded
/// still has its bytes now, and one that waits for room has none yet. What is decided is decided by the second account, and a
/// load begins when the first one has room, too.
///
/// A device whose memory is not known has no limit: nobody could say when it is passed.
#[derive(Clone, Debug)]
pub struct Ledger {
    share: f64,
    accounts: BTreeMap<Device, Account>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    total_bytes: Option<u64>,
    others_bytes: u64,
    entries: BTreeMap<String, Entry>,
}

/// What one model has on one device.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// What it may take now.
    now: u64,
    /// What it will take when what is under way is done.
    then: u64,
    /// What it surely takes now: less than `now` while it is being loaded or unloaded.
    sure: u64,
    /// What it took when nothing was under way.
    rest: u64,
    /// What 99 % of its requests keep to, on top.
    burst: u64,
    /// Whether requests are running.
    busy: bool,
}

/// A device's account at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Charge {
    /// What models take at rest.
    pub models_bytes: u64,
    /// What 99 % of the requests to each of them keep to, on top.
    pub bursts_bytes: u64,
    /// What everybody else uses.
    pub others_bytes: u64,
    /// What all of it together may be; `None` if the device's memory is not known.
    pub limit_bytes: Option<u64>,
}

impl Charge {
    /// Models, bursts and others together.
    pub fn total_bytes(&self) -> u64 {
        self.models_bytes.saturating_add(self.bursts_bytes).saturating_add(self.others_bytes)
    }

    /// By how much `more` would pass the limit; 0 if it would not.
    pub(super) fn short_bytes(&self, more: u64) -> u64 {
        let wanted = self.total_bytes().saturating_add(more);
        self.limit_bytes.map_or(0, |limit| wanted.saturating_sub(limit))
    }
}

/// `6.10 GiB of models + 0.90 GiB of bursts + 0.55 GiB of others = 7.55 of 10.20 GiB`.
impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [models, bursts, others] = [self.models_bytes, self.bursts_bytes, self.others_bytes].map(Gib);
        write!(
            f,
            "{models} of models + {bursts} of bursts + {others} of others = {}",
            Gib(self.total_bytes())
        )?;
        match self.limit_bytes {
            Some(limit) => write!(f, ", of {}", Gib(limit)),
            None => f.write_str(", of a memory not known"),
        }
    }
}

impl Ledger {
    /// An empty one: `share` of each device's memory, above 0 and at most 1, may be used.
    pub(super) fn new(share: f64) -> Self {
        Self { share, accounts: BTreeMap::new() }
    }

    /// The devices it knows of.
    pub fn devices(&self) -> impl Iterator<Item = Device> {
        self.accounts.keys().copied()
    }

    /// The account of `device` as it is now.
    pub fn now(&self, device: Device) -> Charge {
        self.charge(device, |entry| entry.now)
    }

    /// The account of `device` as it will be when all loads and unloads under way are done.
    pub fn then(&self, device: Device) -> Charge {
        self.charge(device, |entry| entry.then)
    }

    /// What `model` will take on `device` at rest when what is under way is done, and its bursts on top.
    pub(super) fn then_of(&self, device: Device, model: &str) -> (u64, u64) {
        let entry = self.accounts.get(&device).and_then(|account| account.entries.get(model));
        entry.map_or((0, 0), |entry| (entry.then, entry.burst))
    }

    fn charge(&self, device: Device, bytes: impl Fn(&Entry) -> u64) -> Charge {
        let Some(account) = self.accounts.get(&device) else {
            return Charge { models_bytes: 0, bursts_bytes: 0, others_bytes: 0, limit_bytes: None };
        };
        let entries = account.entries.values();
        // What is leaving has no requests, and what waits to be loaded has none yet.
        let bursting = entries.clone().filter(|entry| bytes(entry) > 0 && entry.then > 0);
        Charge {
            models_bytes: sum(entries.map(&bytes)),
            bursts_bytes: sum(bursting.map(|entry| entry.burst)),
            others_bytes: account.others_bytes,
            limit_bytes: account.total_bytes.map(|total| (total as f64 * self.share) as u64),
        }
    }

    /// Takes in what `device` says of its memory, and how much of it is this process's if somebody knows.
    ///
    /// If nobody does, ours lies between what models surely take and what they may take while they are loaded, unloaded or
    /// burst. The figure for the others is then moved no further than it must: not every burst is somebody else's, but
    /// whatever was really seen stays covered by the account.
    pub(super) fn observe(&mut self, device: Device, memory: Memory, ours_bytes: Option<u64>) {
        let account = self.accounts.entry(device).or_default();
        let used = memory.total_bytes.saturating_sub(memory.free_bytes);
        let known = account.total_bytes.replace(memory.total_bytes).is_some();
        let may = |entry: &Entry| if entry.busy { entry.now.saturating_add(entry.burst) } else { entry.now };
        let (sure, may) = match ours_bytes {
            Some(ours) => (ours, ours),
            None => (
                sum(account.entries.values().map(|entry| entry.sure)),
                sum(account.entries.values().map(may)),
            ),
        };
        let (low, high) = (used.saturating_sub(may), used.saturating_sub(sure));
        account.others_bytes = if known { account.others_bytes.clamp(low, high) } else { high };
    }

    /// Sets `bytes` aside for a model that is to be loaded, and for its bursts.
    pub(super) fn claim(&mut self, device: Device, model: &str, bytes: u64, burst: u64) {
        let entry = self.accounts.entry(device).or_default().entries.entry(model.to_owned()).or_default();
        (entry.then, entry.burst) = (bytes, burst);
    }

    /// The load of a claimed model begins.
    pub(super) fn load(&mut self, device: Device, model: &str) {
        self.change(device, model, |entry| entry.now = entry.then);
    }

    /// What was under way with a model is done: it takes `bytes`, or what was expected if nobody measured that.
    pub(super) fn settle(&mut self, device: Device, model: &str, bytes: Option<u64>) {
        self.change(device, model, |entry| entry.settle(bytes.unwrap_or(entry.then)));
    }

    /// What was under way with a model does not happen: it takes what it took before.
    pub(super) fn undo(&mut self, device: Device, model: &str) {
        self.change(device, model, |entry| entry.settle(entry.rest));
    }

    /// A model begins to become as large as `bytes`; 0 means that it is being unloaded.
    pub(super) fn resize(&mut self, device: Device, model: &str, bytes: u64) {
        self.change(device, model, |entry| {
            entry.sure = entry.now.min(bytes);
            (entry.now, entry.then) = (entry.now.max(bytes), bytes);
        });
    }

    /// A model is no longer there, nor claimed.
    pub(super) fn remove(&mut self, device: Device, model: &str) {
        if let Some(account) = self.accounts.get_mut(&device) {
            account.entries.remove(model);
        }
    }

    /// Requests to a model have begun, or all have ended.
    pub(super) fn set_busy(&mut self, device: Device, model: &str, busy: bool) {
        self.change(device, model, |entry| entry.busy = busy);
    }

    /// What requests to a model take on top is known better.
    pub(super) fn set_burst(&mut self, device: Device, model: &str, bytes: u64) {
        self.change(device, model, |entry| entry.burst = bytes);
    }

    fn change(&mut self, device: Device, model: &str, change: impl FnOnce(&mut Entry)) {
        let account = self.accounts.get_mut(&device);
        if let Some(entry) = account.and_then(|account| account.entries.get_mut(model)) {
            change(entry);
        }
    }
}

/// What models may still take: the limit in place of all the memory, and of it what nobody has or has been promised. A model that
/// is claimed already has been promised its bytes.
impl DeviceMemory for Ledger {
    fn memory(&self, device: Device) -> Option<Memory> {
        let charge = self.then(device);
        let total_bytes = charge.limit_bytes?;
        Some(Memory { total_bytes, free_bytes: total_bytes.saturating_sub(charge.total_bytes()) })
    }
}

impl Entry {
    fn settle(&mut self, bytes: u64) {
        (self.now, self.then, self.sure, self.rest) = (bytes, bytes, bytes, bytes);
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GPU: Device = Device::Cuda(0);

    fn used(bytes: u64) -> Memory {
        Memory { total_bytes: 1000, free_bytes: 1000 - bytes }
    }

    /// A ledger of a device of 1000 bytes, of which others have 100, and a model "a" of 300 with bursts of 50.
    fn with_a_model() -> Ledger {
        let mut ledger = Ledger::new(0.85);
        ledger.observe(GPU, used(100), None);
        ledger.claim(GPU, "a", 300, 50);
        ledger.load(GPU, "a");
        ledger.settle(GPU, "a", None);
        ledger
    }

    #[test]
    fn claims_count_for_decisions_and_unloads_count_until_they_are_done() {
        let mut ledger = with_a_model();
        ledger.resize(GPU, "a", 0);
        ledger.claim(GPU, "b", 400, 100);

        assert_eq!(ledger.now(GPU).total_bytes(), 100 + 300);
        assert_eq!(ledger.then(GPU).total_bytes(), 100 + 400 + 100);
        assert_eq!(ledger.now(GPU).short_bytes(500), 50);
        ledger.remove(GPU, "a");
        ledger.load(GPU, "b");
        assert_eq!(ledger.now(GPU), ledger.then(GPU));
        assert_eq!(ledger.now(GPU).limit_bytes, Some(850));
    }

    #[test]
    fn change_that_does_not_happen_leaves_the_account_as_it_was() {
        for bytes in [0, 100, 500] {
            let mut ledger = with_a_model();
            let before = ledger.now(GPU);
            ledger.resize(GPU, "a", bytes);
            assert_eq!(ledger.now(GPU).models_bytes, bytes.max(300));
            assert_eq!(ledger.then(GPU).models_bytes, bytes);
            ledger.undo(GPU, "a");
            assert_eq!([ledger.now(GPU), ledger.then(GPU)], [before; 2]);
        }
    }

    #[test]
    fn what_is_not_ours_is_somebody_elses() {
        let mut ledger = with_a_model();
        ledger.observe(GPU, used(550), None);
        assert_eq!(ledger.now(GPU).others_bytes, 250);
        ledger.observe(GPU, used(320), None);
        assert_eq!(ledger.now(GPU).others_bytes, 20);
    }

    #[test]
    fn burst_of_ours_is_not_taken_for_somebody_elses() {
        let mut ledger = with_a_model();
        ledger.set_busy(GPU, "a", true);
        ledger.observe(GPU, used(440), None);
        assert_eq!(ledger.now(GPU).others_bytes, 100);
        ledger.observe(GPU, used(470), None);
        assert_eq!(ledger.now(GPU).others_bytes, 120, "more than the burst can explain");
        ledger.observe(GPU, used(470), Some(330));
        assert_eq!(ledger.now(GPU).others_bytes, 140, "somebody measured ours");
        ledger.set_busy(GPU, "a", false);
        ledger.observe(GPU, used(470), None);
        assert_eq!(ledger.now(GPU).others_bytes, 170, "at rest nothing is left to explain it");
    }

    #[test]
    fn half_loaded_model_is_not_taken_for_somebody_elses() {
        let mut ledger = with_a_model();
        ledger.claim(GPU, "b", 200, 0);
        ledger.load(GPU, "b");
        for loaded in [0, 90, 200] {
            ledger.observe(GPU, used(400 + loaded), None);
            assert_eq!(ledger.now(GPU).others_bytes, 100);
        }
    }

    #[test]
    fn device_that_nobody_knows_has_no_limit_and_one_that_is_full_has_no_room() {
        let mut ledger = Ledger::new(0.85);
        ledger.claim(Device::Metal(0), "a", u64::MAX, u64::MAX);
        assert_eq!(ledger.then(Device::Metal(0)).short_bytes(u64::MAX), 0);
        ledger.observe(GPU, used(1000), None);
        assert_eq!(ledger.then(GPU).short_bytes(0), 150);
    }

    #[test]
    fn free_is_what_may_still_be_taken() {
        let mut ledger = with_a_model();
        assert_eq!(ledger.memory(GPU), Some(Memory { total_bytes: 850, free_bytes: 850 - 100 - 300 - 50 }));
        ledger.claim(GPU, "b", 600, 0);
        assert_eq!(ledger.memory(GPU), Some(Memory { total_bytes: 850, free_bytes: 0 }));
        assert_eq!(ledger.memory(Device::Metal(0)), None);
    }

    #[test]
    fn charge_reads_as_a_sum() {
        let charge = Charge {
            models_bytes: 6 << 30,
            bursts_bytes: 1 << 29,
            others_bytes: 1 << 30,
            limit_bytes: Some(10 << 30),
        };
        assert_eq!(
            charge.to_string(),
            "6.00 GiB of models + 0.50 GiB of bursts + 1.00 GiB of others = 7.50 GiB, of 10.00 GiB"
        );
    }

    proptest! {
        /// What a device really uses is covered by the account, whatever part of it is ours.
        #[test]
        fn account_covers_whatever_was_seen(
            seen in proptest::collection::vec((0_u64..1000, any::<bool>(), proptest::option::of(0_u64..400)), 1..20),
        ) {
            let mut ledger = with_a_model();
            for (bytes, busy, ours) in seen {
                ledger.set_busy(GPU, "a", busy);
                ledger.observe(GPU, used(bytes), ours.map(|ours| ours.min(350)));
                prop_assert!(ledger.now(GPU).total_bytes() >= bytes);
            }
        }
    }
}
