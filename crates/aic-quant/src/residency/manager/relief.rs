//! Who gives way, and how.
use std::mem;

use super::super::cover::{self, Offer};
use super::super::input::Effect;
use super::super::ladder;
use super::super::model::Form;
use super::slot::{Resident, Slot};
use super::{Residency, State};
use crate::Device;

/// How one model gives memory back.
#[derive(Clone, Debug)]
pub(super) enum Gift {
    /// It becomes smaller where it is.
    Resize(Form),
    /// It is unloaded.
    Unload,
    /// It is unloaded and loaded again in this form.
    Move(Form),
}

/// A model's gifts, each with what it gives and costs.
struct Giver {
    name: String,
    gifts: Vec<(Gift, Offer)>,
}

impl Residency {
    /// The cheapest gifts that give `need` bytes of `device` together, for the sake of `name`; `None` if there are none.
    pub(super) fn relief(&self, device: Device, need: u64, name: &str) -> Option<Vec<(String, Gift)>> {
        let givers = self.givers(device, name);
        let chosen = cover::cheapest(&offers(&givers), need)?;
        Some(pick(givers, &chosen))
    }

    /// Has models on `device` give way until it is within its limit. If that cannot be, all that can give way does, and the
    /// pressure is told.
    pub(super) fn relieve(&mut self, device: Device) {
        if self.over(device) > 0 {
            // Who is not there yet gives way first, and may then find another place.
            let waiting = self.slots.iter().filter(|(_, slot)| slot.claimed_on(device).is_some());
            let waiting: Vec<String> = waiting.map(|(name, _)| name.clone()).collect();
            for name in &waiting {
                self.unclaim(name);
            }
            self.reduce(device);
            waiting.iter().for_each(|name| self.admit(name));
        }
        let over_bytes = self.over(device);
        if over_bytes == 0 {
            self.pressed.remove(&device);
        } else if self.pressed.insert(device) {
            tracing::warn!(%device, over_bytes, "device is above its limit and nothing there can give way");
            self.effects.push(Effect::Pressed { device, over_bytes });
        }
    }

    fn over(&self, device: Device) -> u64 {
        self.ledger.then(device).short_bytes(0)
    }

    fn reduce(&mut self, device: Device) {
        let over = self.over(device);
        if over > 0 {
            let givers = self.givers(device, "");
            let offers = offers(&givers);
            let chosen = cover::cheapest(&offers, over).unwrap_or_else(|| cover::most(&offers));
            self.give(pick(givers, &chosen));
        }
    }

    /// Has models give what was chosen.
    pub(super) fn give(&mut self, gifts: Vec<(String, Gift)>) {
        for (name, gift) in gifts {
            match gift {
                Gift::Resize(form) => self.resize(&name, form),
                Gift::Unload => self.evict(&name, None),
                Gift::Move(form) => self.evict(&name, Some(form)),
            }
        }
    }

    /// Begins to make a model smaller or larger where it is.
    pub(super) fn resize(&mut self, name: &str, to: Form) {
        let Some(from) = self.slots[name].resident().map(|resident| resident.form.clone()) else { return };
        let bytes = self.resized_bytes(name, &from, &to);
        self.ledger.resize(from.device, name, bytes);
        if let State::Resident(resident) = &mut self.slot(name).state {
            resident.to = Some(to.clone());
        }
        self.effects.push(Effect::Resize { model: name.to_owned(), form: to });
    }

    /// Begins to unload a model, to be loaded again as `next` if that is something.
    pub(super) fn evict(&mut self, name: &str, next: Option<Form>) {
        let slot = self.slot(name);
        match mem::replace(&mut slot.state, State::Absent) {
            State::Resident(resident) => {
                let device = resident.form.device;
                slot.state = State::Evicting { resident, next: next.clone(), asked: false };
                self.ledger.resize(device, name, 0);
            }
            other => {
                slot.state = other;
                return;
            }
        }
        if let Some(next) = next {
            let (bytes, burst) = self.need(name, &next);
            self.ledger.claim(next.device, name, bytes, burst);
        }
        self.effects.push(Effect::Unload { model: name.to_owned() });
    }

    /// Everybody on `device` who has something to give for the sake of `name`.
    fn givers(&self, device: Device, name: &str) -> Vec<Giver> {
        let on_device = |slot: &Slot| slot.resident().is_some_and(|resident| resident.form.device == device);
        let others = self.slots.iter().filter(|(other, slot)| *other != name && on_device(slot));
        let others: Vec<(&String, &Slot)> = others.collect();
        let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
        let chances = self.experience.predictor.soon(&names, self.policy.horizon, self.now);
        let giver = |((name, slot), chance): ((&String, &Slot), f64)| {
            let worth = chance * self.reload_seconds(name, slot);
            let gifts = slot.resident().map(|resident| self.gifts(name, slot, resident, worth));
            Giver { name: name.clone(), gifts: gifts.unwrap_or_default() }
        };
        others.into_iter().zip(chances).map(giver).collect()
    }

    /// What a model can give; it is worth `worth` seconds as it is.
    fn gifts(&self, name: &str, slot: &Slot, resident: &Resident, worth: f64) -> Vec<(Gift, Offer)> {
        if resident.to.is_some() {
            return Vec::new();
        }
        let form = &resident.form;
        let (bytes, burst) = self.ledger.then_of(form.device, name);
        let may = |to: &&Form| to.same_weights(form) && (resident.is_idle() || to.same_answers(form));
        let mut gifts: Vec<(Gift, Offer)> = Vec::new();
        for to in slot.ladder.below(form).iter().filter(may) {
            let bytes = bytes.saturating_sub(self.resized_bytes(name, form, to));
            let lost = ladder::loss(&slot.spec, to) - ladder::loss(&slot.spec, form);
            gifts.push((Gift::Resize(to.clone()), Offer { bytes, cost: worth * lost.max(0.0) }));
        }
        if slot.may_go(resident, self.now) {
            gifts.push((Gift::Unload, Offer { bytes: bytes.saturating_add(burst), cost: worth }));
        }
        if slot.spec.pinned && resident.is_idle() {
            gifts.extend(self.moves(name, slot, form));
        }
        gifts.retain(|(_, offer)| offer.bytes > 0);
        gifts
    }

    /// Where a model that must stay in memory could go: to its next smaller variant, and to its next device with room.
    fn moves(&self, name: &str, slot: &Slot, form: &Form) -> Vec<(Gift, Offer)> {
        let below = slot.ladder.below(form);
        let (bytes, burst) = self.ledger.then_of(form.device, name);
        let cost = self.reload_seconds(name, slot);
        let smaller = below.iter().find(|to| to.device == form.device && to.variant != form.variant);
        let smaller = smaller.map(|to| (to, bytes.saturating_sub(self.need(name, to).0)));
        let fits = |to: &&Form| {
            let (bytes, burst) = self.need(name, to);
            to.device != form.device
                && self.ledger.then(to.device).short_bytes(bytes.saturating_add(burst)) == 0
        };
        let elsewhere = below.iter().find(fits).map(|to| (to, bytes.saturating_add(burst)));
        let moves = smaller.into_iter().chain(elsewhere);
        moves.map(|(to, bytes)| (Gift::Move(to.clone()), Offer { bytes, cost })).collect()
    }

    /// How long loading a model takes.
    fn reload_seconds(&self, name: &str, slot: &Slot) -> f64 {
        self.experience.reload(name).unwrap_or_else(|| slot.spec.expected_reload()).as_secs_f64()
    }
}

fn offers(givers: &[Giver]) -> Vec<Vec<Offer>> {
    givers.iter().map(|giver| giver.gifts.iter().map(|(_, offer)| *offer).collect()).collect()
}

fn pick(givers: Vec<Giver>, chosen: &[Option<usize>]) -> Vec<(String, Gift)> {
    let picked = givers.into_iter().zip(chosen);
    picked.filter_map(|(giver, place)| Some((giver.name, giver.gifts[(*place)?].0.clone()))).collect()
}
