mod admission;
mod relief;
mod slot;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use super::experience::Experience;
use super::input::{Effect, Input, Refusal};
use super::ladder::Ladder;
use super::ledger::Ledger;
use super::model::{Form, ModelSpec};
use super::policy::Policy;
use super::predictor::MOST_MODELS;
use crate::{Device, Error, Result};
use slot::{Resident, Slot, State};

/// Decides which models are in memory, where, and what gives way: a state machine, with nothing but bookkeeping inside.
///
/// It is told what happens ([`Input`]) and when, and says what is to be done ([`Effect`]); who carries that out tells how it
/// went. [`Keeper`](super::Keeper) is a way to do so with one thread.
///
/// - A model is loaded when the [`Ledger`] has room for it, its bursts included. Otherwise what costs least is taken from
///   the others on the device: prefix caches, long contexts, precision of keys and values, or models. A model costs the
///   chance that it is wanted soon times the seconds that loading it again would take, and the set that gives enough at the least
///   cost is chosen as a whole. Models that are in use, [pinned](ModelSpec::pinned), or not there for
///   [long enough](ModelSpec::minimum_residency) are not unloaded.
/// - If that is not enough the model itself becomes smaller: its ladder goes from the form wanted over shorter contexts,
///   quantized keys and values and smaller variants to the next device, and ends with a [`Refusal`].
/// - A model that became smaller grows again when there has been room for it [for some time](Policy::climb_dwell) and nobody
///   uses it.
/// - A model that is to be unloaded and wanted again is saved if it is still there ([`Effect::Keep`]).
/// - When others take more of a device, models there give way until the account is within its limit again.
///
/// Times are counted from any local midnight, the Unix time plus the time zone's offset for example: what matters is how they
/// differ, and the hour of the day. A time before the latest counts as the latest.
#[derive(Debug)]
pub struct Residency {
    policy: Policy,
    ledger: Ledger,
    experience: Experience,
    slots: BTreeMap<String, Slot>,
    /// Devices whose pressure was told.
    pressed: BTreeSet<Device>,
    /// Devices that had a burst worth trimming after.
    burst: BTreeSet<Device>,
    turns: u64,
    now: Duration,
    effects: Vec<Effect>,
}

impl Residency {
    /// One that knows no models yet, and what `experience` has taught.
    ///
    /// # Errors
    /// [`Error::Option`] if the policy has a number out of its range.
    pub fn new(policy: Policy, experience: Experience) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            ledger: Ledger::new(policy.limit_share),
            policy,
            experience,
            slots: BTreeMap::new(),
            pressed: BTreeSet::new(),
            burst: BTreeSet::new(),
            turns: 0,
            now: Duration::ZERO,
            effects: Vec::new(),
        })
    }

    /// Makes a model known; nothing is loaded before it is wanted.
    ///
    /// # Errors
    /// [`Error::Option`] if it has no variant or no device, or its name is taken, or there are 1024 models.
    pub fn register(&mut self, spec: ModelSpec) -> Result<()> {
        spec.check()?;
        let wrong = |expected| Error::Option { option: "model", value: format!("`{}`", spec.name), expected };
        if self.slots.contains_key(&spec.name) {
            return Err(wrong("a name that no other model has"));
        }
        if self.slots.len() >= MOST_MODELS {
            return Err(wrong("at most 1024 models"));
        }
        self.slots.insert(spec.name.clone(), Slot::new(spec));
        Ok(())
    }

    /// From now on `model` is best on `device` and loaded from `variant` or a smaller one, as a
    /// [`Placement`](super::Placement) found. If it is in memory otherwise it moves as soon as there has been room and nobody
    /// uses it.
    ///
    /// # Errors
    /// [`Error::Option`] if there is no such model, variant, or device of the model.
    pub fn prefer(&mut self, model: &str, device: Device, variant: &str) -> Result<()> {
        let wrong =
            |option, value: &str, expected| Error::Option { option, value: format!("`{value}`"), expected };
        let slot =
            self.slots.get_mut(model).ok_or_else(|| wrong("model", model, "one that is registered"))?;
        let mut spec = slot.spec.clone();
        let at = spec.variants.iter().position(|known| known.name == variant);
        spec.variants.drain(..at.ok_or_else(|| wrong("variant", variant, "one of the model's"))?);
        if !spec.devices.contains(&device) {
            return Err(wrong("device", &device.to_string(), "one of the model's"));
        }
        spec.devices.sort_by_key(|other| *other != device);
        slot.ladder = Ladder::new(&spec);
        Ok(())
    }

    /// Takes in what happened at `now`, and returns what is to be done, in this order.
    ///
    /// Answers to effects that were never sent are ignored with a log line.
    pub fn step(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::Acquire { model } => self.acquire(&model),
            Input::Release { model, burst_bytes } => self.release(&model, burst_bytes),
            Input::Abandon { model } => self.abandon(&model),
            Input::Loaded { model, bytes, took } => self.loaded(&model, bytes, took),
            Input::Failed { model, reason, out_of_memory } => self.failed(&model, reason, out_of_memory),
            Input::Unloaded { model } => self.unloaded(&model),
            Input::Kept { model } => self.kept(&model),
            Input::Resized { model, bytes } => self.resized(&model, bytes),
            Input::Observed { device, memory, ours_bytes } => {
                self.ledger.observe(device, memory, ours_bytes);
                self.relieve(device);
            }
            Input::Tick => self.tick(),
        }
        self.start_claimed();
        mem::take(&mut self.effects)
    }

    /// Who has how many bytes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was learned so far.
    pub fn experience(&self) -> &Experience {
        &self.experience
    }

    /// The models that can be used now, with the form of each.
    pub fn residents(&self) -> impl Iterator<Item = (&str, &Form)> {
        self.slots.iter().filter_map(|(name, slot)| Some((name.as_str(), &slot.resident()?.form)))
    }

    /// All devices that a model may be on.
    pub(super) fn devices(&self) -> BTreeSet<Device> {
        self.slots.values().flat_map(|slot| slot.spec.devices.iter().copied()).collect()
    }

    fn acquire(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name) else {
            let (model, reason) = (name.to_owned(), Refusal::Unknown);
            self.effects.push(Effect::Refuse { model, requests: 1, reason });
            return;
        };
        self.experience.predictor.used(name, self.now);
        slot.used = self.now;
        slot.waiting += 1;
        match &mut slot.state {
            State::Absent => self.admit(name),
            State::Evicting { asked, .. } => {
                if !mem::replace(asked, true) {
                    self.effects.push(Effect::Keep { model: name.to_owned() });
                }
            }
            State::Claimed { .. } | State::Loading { .. } => {}
            State::Resident(_) => self.grant(name),
        }
        self.prefetch();
    }

    fn release(&mut self, name: &str, burst_bytes: Option<u64>) {
        let now = self.now;
        let Some(Slot { state: State::Resident(resident), used, .. }) = self.slots.get_mut(name) else {
            return ignored("release", name);
        };
        let Some(busy) = resident.busy.checked_sub(1) else { return ignored("release", name) };
        (resident.busy, *used) = (busy, now);
        let device = resident.form.device;
        self.ledger.set_busy(device, name, busy > 0);
        if let Some(bytes) = burst_bytes {
            self.peaked(name, device, bytes);
        }
        self.trim(device);
        self.relieve(device);
    }

    /// Learns what a request took at its peak.
    fn peaked(&mut self, name: &str, device: Device, bytes: u64) {
        self.experience.burst(name, bytes);
        self.ledger.set_burst(device, name, self.burst_of(name));
        if bytes >= self.policy.trim_bytes {
            self.burst.insert(device);
        }
    }

    fn abandon(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name).filter(|slot| slot.waiting > 0) else {
            return ignored("abandon", name);
        };
        slot.waiting -= 1;
        if slot.waiting == 0 && matches!(slot.state, State::Claimed { .. }) {
            self.unclaim(name);
        }
    }

    fn loaded(&mut self, name: &str, bytes: Option<u64>, took: Duration) {
        let Some(slot) = self.slots.get_mut(name) else { return ignored("loaded", name) };
        let State::Loading { form } = &slot.state else { return ignored("loaded", name) };
        let (form, estimate) = (form.clone(), slot.spec.bytes(form));
        slot.failed = false;
        slot.state = State::Resident(Resident::new(form.clone(), self.now));
        if let Some(bytes) = bytes {
            tracing::debug!(model = name, estimate, bytes, "model loaded");
            let backend = slot.spec.backend_on(form.device);
            self.experience.measured(&slot.spec.family, &backend, estimate, bytes);
        }
        self.experience.loaded(name, took);
        self.settled(name, form.device, bytes);
        self.prefetch();
    }

    fn failed(&mut self, name: &str, reason: String, out_of_memory: bool) {
        let Some(slot) = self.slots.get_mut(name) else { return ignored("failed", name) };
        match &mut slot.state {
            State::Loading { form } => {
                let (below, device) = (slot.ladder.below(form).to_vec(), form.device);
                (slot.state, slot.failed) = (State::Absent, true);
                self.ledger.remove(device, name);
                if !out_of_memory || !below.iter().any(|form| self.try_admit(name, form)) {
                    self.refuse(name, Refusal::Failed { reason });
                }
            }
            State::Resident(resident) if resident.to.is_some() => {
                resident.to = None;
                tracing::warn!(model = name, reason, "model could not be resized");
                let device = resident.form.device;
                self.undone(name, device);
            }
            _ => ignored("failed", name),
        }
    }

    fn unloaded(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name) else { return ignored("unloaded", name) };
        let State::Evicting { resident, next, .. } = &mut slot.state else {
            return ignored("unloaded", name);
        };
        let (device, next) = (resident.form.device, next.take());
        let wanted = slot.waiting > 0;
        slot.state = State::Absent;
        self.ledger.remove(device, name);
        match next {
            Some(form) => self.claim(name, form),
            None if wanted => self.admit(name),
            None => {}
        }
    }

    fn kept(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name) else { return ignored("kept", name) };
        match mem::replace(&mut slot.state, State::Absent) {
            State::Evicting { resident, next, .. } => {
                let device = resident.form.device;
                slot.state = State::Resident(resident);
                if let Some(next) = next.filter(|next| next.device != device) {
                    self.ledger.remove(next.device, name);
                }
                self.undone(name, device);
            }
            other => {
                slot.state = other;
                ignored("kept", name);
            }
        }
    }

    fn resized(&mut self, name: &str, bytes: Option<u64>) {
        let Some(Slot { state: State::Resident(resident), .. }) = self.slots.get_mut(name) else {
            return ignored("resized", name);
        };
        let Some(to) = resident.to.take() else { return ignored("resized", name) };
        let device = to.device;
        resident.form = to;
        self.settled(name, device, bytes);
    }

    /// What was under way with a model in memory is done.
    fn settled(&mut self, name: &str, device: Device, bytes: Option<u64>) {
        self.ledger.settle(device, name, bytes);
        self.grant(name);
        self.relieve(device);
    }

    /// What was under way with a model in memory does not happen.
    fn undone(&mut self, name: &str, device: Device) {
        self.ledger.undo(device, name);
        self.grant(name);
        self.relieve(device);
    }

    /// Lets all requests that wait for a model go ahead, if it takes requests now.
    fn grant(&mut self, name: &str) {
        let Some(Slot { state: State::Resident(resident), waiting, .. }) = self.slots.get_mut(name) else {
            return;
        };
        if *waiting == 0 || !resident.is_open() {
            return;
        }
        let requests = mem::take(waiting);
        resident.busy += requests;
        let form = resident.form.clone();
        self.ledger.set_busy(form.device, name, true);
        self.effects.push(Effect::Grant { model: name.to_owned(), requests, form });
    }

    /// Turns all requests that wait for a model away.
    fn refuse(&mut self, name: &str, reason: Refusal) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let requests = mem::take(&mut slot.waiting);
        if requests > 0 {
            tracing::info!(model = name, %reason, "model refused");
            self.effects.push(Effect::Refuse { model: name.to_owned(), requests, reason });
        }
    }

    fn trim(&mut self, device: Device) {
        let mut residents = self.slots.values().filter_map(Slot::resident);
        let busy = residents.any(|resident| resident.form.device == device && resident.busy > 0);
        if !busy && self.burst.remove(&device) {
            self.effects.push(Effect::Trim { device });
        }
    }
}

/// An answer to nothing that was asked.
fn ignored(input: &'static str, model: &str) {
    tracing::warn!(input, model, "input does not fit the model's state and was ignored");
}
