//! How a model gets its room.
use std::mem;

use super::super::input::{Effect, Refusal};
use super::super::model::Form;
use super::{Residency, State};
use crate::Device;

impl Residency {
    /// Finds room for a model that is absent in the best form there is room for, or refuses it.
    pub(super) fn admit(&mut self, name: &str) {
        let rungs = self.slots[name].ladder.rungs().to_vec();
        if !rungs.iter().any(|form| self.try_admit(name, form)) {
            let reason = self.refusal(name, &rungs);
            self.refuse(name, reason);
        }
    }

    /// Finds room for a model in this form, if need be by having others give way. Returns whether there was any.
    pub(super) fn try_admit(&mut self, name: &str, form: &Form) -> bool {
        let (bytes, burst) = self.need(name, form);
        let short = self.ledger.then(form.device).short_bytes(bytes.saturating_add(burst));
        if short > 0 {
            let Some(gifts) = self.relief(form.device, short, name) else { return false };
            self.give(gifts);
        }
        self.claim(name, form.clone());
        true
    }

    /// Sets room aside for a model in this form.
    pub(super) fn claim(&mut self, name: &str, form: Form) {
        let (bytes, burst) = self.need(name, &form);
        self.ledger.claim(form.device, name, bytes, burst);
        self.turns += 1;
        let turn = self.turns;
        self.slot(name).state = State::Claimed { form, turn };
    }

    /// Takes back what was set aside for a model, if anything was. Returns whether.
    pub(super) fn unclaim(&mut self, name: &str) -> bool {
        let slot = self.slot(name);
        match mem::replace(&mut slot.state, State::Absent) {
            State::Claimed { form, .. } => {
                self.ledger.remove(form.device, name);
                true
            }
            other => {
                slot.state = other;
                false
            }
        }
    }

    /// Loads what was claimed, as soon as the room is really there; first come, first served.
    ///
    /// A claim for which nobody gives way any more, because somebody was saved or others took the room, is decided anew.
    pub(super) fn start_claimed(&mut self) {
        for name in self.claimed() {
            if !self.try_start(&name) && !self.is_waited_for(&name) && self.unclaim(&name) {
                self.admit(&name);
                self.try_start(&name);
            }
        }
    }

    fn try_start(&mut self, name: &str) -> bool {
        let State::Claimed { form, .. } = &self.slots[name].state else { return false };
        let form = form.clone();
        let (bytes, burst) = self.ledger.then_of(form.device, name);
        if self.ledger.now(form.device).short_bytes(bytes.saturating_add(burst)) > 0 {
            return false;
        }
        self.ledger.load(form.device, name);
        self.slot(name).state = State::Loading { form: form.clone() };
        self.effects.push(Effect::Load { model: name.to_owned(), form });
        true
    }

    /// Whether a claimed model can still hope for what others are giving back.
    fn is_waited_for(&self, name: &str) -> bool {
        let State::Claimed { form, .. } = &self.slots[name].state else { return false };
        let then = self.ledger.then(form.device);
        then.short_bytes(0) == 0 && self.slots.values().any(|slot| slot.is_giving(form.device))
    }

    fn claimed(&self) -> Vec<String> {
        let claim = |(name, slot): (&String, &super::Slot)| match slot.state {
            State::Claimed { turn, .. } => Some((turn, name.clone())),
            _ => None,
        };
        let mut claims: Vec<(u64, String)> = self.slots.iter().filter_map(claim).collect();
        claims.sort_unstable();
        claims.into_iter().map(|(_, name)| name).collect()
    }

    /// What a model takes in `form` at rest, as far as estimates can be trusted here, and what its requests take on top.
    pub(super) fn need(&self, name: &str, form: &Form) -> (u64, u64) {
        (self.corrected(name, form), self.burst_of(name))
    }

    fn corrected(&self, name: &str, form: &Form) -> u64 {
        let spec = &self.slots[name].spec;
        let learned = self.experience.factor(&spec.family, &spec.backend_on(form.device));
        (spec.bytes(form) as f64 * learned.unwrap_or(1.0 + self.policy.estimate_margin)) as u64
    }

    /// What a model that is loaded as `from` will take as `to`, which has the same weights.
    pub(super) fn resized_bytes(&self, name: &str, from: &Form, to: &Form) -> u64 {
        let (bytes, _) = self.ledger.then_of(from.device, name);
        bytes.saturating_add(self.corrected(name, to)).saturating_sub(self.corrected(name, from))
    }

    pub(super) fn burst_of(&self, name: &str) -> u64 {
        // What is not known cannot be provided for.
        let expected = self.slots[name].spec.burst_bytes.unwrap_or(0);
        self.experience.burst_p99(name, expected)
    }

    pub(super) fn slot(&mut self, name: &str) -> &mut super::Slot {
        self.slots.get_mut(name).expect("models are never unregistered")
    }

    fn refusal(&self, name: &str, rungs: &[Form]) -> Refusal {
        let need = |form: &Form| {
            let (bytes, burst) = self.need(name, form);
            bytes.saturating_add(burst)
        };
        let possible =
            |form: &&Form| self.ledger.now(form.device).limit_bytes.is_none_or(|limit| need(form) <= limit);
        let short = |form: &Form| self.ledger.then(form.device).short_bytes(need(form));
        match rungs.iter().filter(possible).min_by_key(|form| short(form)) {
            Some(form) => {
                Refusal::NoRoom { device: form.device, needed_bytes: need(form), short_bytes: short(form) }
            }
            None => {
                let limit = |device: Device| self.ledger.now(device).limit_bytes;
                Refusal::TooLarge {
                    needed_bytes: rungs.iter().map(need).min().unwrap_or(0),
                    limit_bytes: rungs.iter().filter_map(|form| limit(form.device)).max().unwrap_or(0),
                }
            }
        }
    }
}
