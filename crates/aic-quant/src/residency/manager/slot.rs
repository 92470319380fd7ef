//! One model and where it stands.
use std::time::Duration;

use super::super::ladder::Ladder;
use super::super::model::{Form, ModelSpec};
use crate::Device;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) spec: ModelSpec,
    pub(super) ladder: Ladder,
    pub(super) state: State,
    /// Requests that are neither granted nor refused yet.
    pub(super) waiting: u32,
    /// When it was last used.
    pub(super) used: Duration,
    /// Whether the last attempt to load it failed.
    pub(super) failed: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// It is not in memory.
    Absent,
    /// Room is being made for it. The number says who came first.
    Claimed { form: Form, turn: u64 },
    /// It is being loaded.
    Loading { form: Form },
    /// It is in memory.
    Resident(Resident),
    /// It is to be unloaded, and can be saved until that has begun.
    Evicting {
        resident: Resident,
        /// What it is loaded as afterwards, if it only moves.
        next: Option<Form>,
        /// Whether [`Effect::Keep`](super::Effect::Keep) was sent.
        asked: bool,
    },
}

#[derive(Debug)]
pub(super) struct Resident {
    pub(super) form: Form,
    pub(super) since: Duration,
    /// Requests that are running.
    pub(super) busy: u32,
    /// What it is becoming.
    pub(super) to: Option<Form>,
}

impl Slot {
    pub(super) fn new(spec: ModelSpec) -> Self {
        let ladder = Ladder::new(&spec);
        Self { spec, ladder, state: State::Absent, waiting: 0, used: Duration::ZERO, failed: false }
    }

    pub(super) fn resident(&self) -> Option<&Resident> {
        match &self.state {
            State::Resident(resident) => Some(resident),
            _ => None,
        }
    }

    /// Whether bytes of it on `device` are about to become free.
    pub(super) fn is_giving(&self, device: Device) -> bool {
        match &self.state {
            State::Evicting { resident, .. } => resident.form.device == device,
            State::Resident(resident) => resident.form.device == device && resident.to.is_some(),
            _ => false,
        }
    }

    /// The form it is claimed in, if that is on `device`.
    pub(super) fn claimed_on(&self, device: Device) -> Option<&Form> {
        match &self.state {
            State::Claimed { form, .. } => Some(form).filter(|form| form.device == device),
            _ => None,
        }
    }

    /// Whether it could be unloaded at this time: nobody uses it, and it has been there long enough.
    pub(super) fn may_go(&self, resident: &Resident, now: Duration) -> bool {
        let stayed = now.saturating_sub(resident.since) >= self.spec.minimum_residency;
        resident.is_idle() && stayed && !self.spec.pinned
    }
}

impl Resident {
    pub(super) fn new(form: Form, since: Duration) -> Self {
        Self { form, since, busy: 0, to: None }
    }

    /// Whether nobody uses it and nothing is being done to it.
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0 && self.to.is_none()
    }

    /// Whether requests may begin now: always, unless it is becoming something that answers differently.
    pub(super) fn is_open(&self) -> bool {
        self.to.as_ref().is_none_or(|to| to.same_answers(&self.form))
    }
}
