//! What time brings: unloading what is idle, growing what was made smaller, loading what comes next.
use super::super::model::Form;
use super::{Residency, Slot, State};

impl Residency {
    pub(super) fn tick(&mut self) {
        let names: Vec<String> = self.slots.keys().cloned().collect();
        for name in names {
            if self.is_stale(&self.slots[&name]) {
                self.evict(&name, None);
            } else {
                self.climb(&name);
            }
        }
    }

    /// Whether nobody has used a model for so long that it goes.
    fn is_stale(&self, slot: &Slot) -> bool {
        let unused = self.now.saturating_sub(slot.used);
        let gone = |resident| slot.may_go(resident, self.now);
        self.policy.idle.is_some_and(|idle| unused >= idle) && slot.resident().is_some_and(gone)
    }

    /// Gives a model a better form if there has been room for one.
    fn climb(&mut self, name: &str) {
        let better = self.better(name);
        let (now, dwell) = (self.now, self.policy.climb_dwell);
        let may = self.slot(name).ladder.may_climb(better.is_some(), now, dwell);
        let Some(better) = better.filter(|_| may) else { return };
        let same = self.slots[name].resident().is_some_and(|resident| resident.form.same_weights(&better));
        tracing::debug!(model = name, form = %better, "model gets a better form");
        if same { self.resize(name, better) } else { self.evict(name, Some(better)) }
    }

    /// The best form above a model's own for which there is room, with the margin, and which nobody is in the way of.
    fn better(&self, name: &str) -> Option<Form> {
        let slot = &self.slots[name];
        let resident = slot.resident().filter(|resident| resident.is_idle())?;
        let own = &resident.form;
        let room = |form: &&Form| {
            let (bytes, burst) = self.need(name, form);
            let more = match (form.device == own.device, form.same_weights(own)) {
                (true, true) => self
                    .resized_bytes(name, own, form)
                    .saturating_sub(self.ledger.then_of(own.device, name).0),
                (true, false) => bytes.saturating_sub(self.ledger.then_of(own.device, name).0),
                (false, _) => bytes.saturating_add(burst),
            };
            self.is_roomy(form, more)
        };
        slot.ladder.above(own).iter().find(room).cloned()
    }

    /// Whether `more` bytes fit where `form` is, with the margin.
    fn is_roomy(&self, form: &Form, more: u64) -> bool {
        let charge = self.ledger.then(form.device);
        let margin = charge.limit_bytes.map_or(0, |limit| (limit as f64 * self.policy.climb_margin) as u64);
        charge.short_bytes(more.saturating_add(margin)) == 0
    }

    /// Loads the model that is likely to be next, if nothing else is going on and there is room for it.
    pub(super) fn prefetch(&mut self) {
        let is_calm = |slot: &Slot| matches!(slot.state, State::Absent | State::Resident(_));
        if !self.slots.values().all(is_calm) {
            return;
        }
        let next = self.experience.predictor.next(self.now).into_iter();
        let likely = next.filter(|(_, chance)| *chance >= self.policy.prefetch_chance);
        let Some(name) = likely.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name.to_owned()) else {
            return;
        };
        let wanted = |slot: &&Slot| matches!(slot.state, State::Absent) && !slot.failed;
        let Some(form) = self.slots.get(&name).filter(wanted).and_then(|slot| slot.ladder.rungs().first())
        else {
            return;
        };
        let (bytes, burst) = self.need(&name, form);
        if self.is_roomy(form, bytes.saturating_add(burst)) {
            tracing::debug!(model = name, "loading a model ahead of its request");
            let (form, now) = (form.clone(), self.now);
            self.slot(&name).used = now;
            self.claim(&name, form);
        }
    }
}
