use std::fmt;
use std::time::Duration;

use super::super::bytes::Gib;
use super::{Candidate, Goal, Place, Placement};
use crate::Device;

/// Which model goes where, and why. Prints as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    models: Vec<PlannedModel>,
    devices: Vec<DeviceUse>,
    exact: bool,
}

/// A model of a [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedModel {
    name: String,
    place: Option<Place>,
    burst_bytes: u64,
    latency: Duration,
    calls_per_hour: f64,
    moves: bool,
    reason: String,
}

/// What a [`Plan`] leaves on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceUse {
    /// The device.
    pub device: Device,
    /// What the models placed there take, with their bursts.
    pub models_bytes: u64,
    /// What others use.
    pub others_bytes: u64,
    /// What all of it together may be.
    pub limit_bytes: u64,
    /// All memory of the device.
    pub total_bytes: u64,
}

impl Plan {
    pub(super) fn new(placement: &Placement, chosen: &[usize], exact: bool) -> Self {
        let places = chosen.iter().zip(&placement.models).map(|(&at, model)| model.places.get(at));
        let mut plan = Self { models: Vec::new(), devices: Vec::new(), exact };
        for &(device, memory) in &placement.devices {
            let placed =
                places.clone().zip(&placement.models).filter_map(|(place, model)| Some((place?, model)));
            let here = placed.filter(|(place, _)| place.device == device);
            let bytes = here.map(|(place, model)| place.bytes.saturating_add(model.burst_bytes));
            let models_bytes = bytes.fold(0, u64::saturating_add);
            plan.devices.push(DeviceUse {
                device,
                models_bytes,
                others_bytes: memory.total_bytes.saturating_sub(memory.free_bytes),
                limit_bytes: placement.limit(memory),
                total_bytes: memory.total_bytes,
            });
        }
        for (place, model) in places.zip(&placement.models) {
            let reason = plan.reason(placement, model, place);
            plan.models.push(PlannedModel::new(model, place, reason));
        }
        plan
    }

    /// The models, in the order in which they were added.
    pub fn models(&self) -> &[PlannedModel] {
        &self.models
    }

    /// The devices, in the order in which they were added.
    pub fn devices(&self) -> &[DeviceUse] {
        &self.devices
    }

    /// Where `model` is kept; `None` if it is kept nowhere, or is not part of the plan.
    pub fn device_of(&self, model: &str) -> Option<Device> {
        self.models.iter().find(|planned| planned.name == model)?.device()
    }

    /// Whether no plan is better; otherwise the search was cut off, and this is the best it had found.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Why a model is where it is, in words.
    fn reason(&self, placement: &Placement, model: &Candidate, place: Option<&Place>) -> String {
        let Some(place) = place else { return "no room: each call loads it first".to_owned() };
        let best = |others: &dyn Fn(&Place) -> bool| {
            let others = model.places.iter().filter(|other| others(other));
            others.map(|other| (other, model.waited(other))).min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let waited = model.waited(place);
        let better = best(&|other| other != place).filter(|(_, other)| *other < waited);
        if let Some((other, would)) = better {
            let saved = waited - would;
            let fits = self.fits(model, place, other);
            return match (fits, model.is_current(place)) {
                (true, true) => format!("stays: {other} would save {saved:.0} s/h, less than moving costs"),
                _ => format!(
                    "no room for {other}, which would save {saved:.0} s/h; {}",
                    self.met(model, place)
                ),
            };
        }
        if model.goal != Goal::Soonest {
            return self.met(model, place);
        }
        let elsewhere = best(&|other| other.device != place.device);
        match elsewhere.map(|(other, would)| (other.device, would - waited)) {
            Some((device, saved)) if saved > 0.0 => format!("saves {saved:.0} s/h over {device}"),
            _ => format!("as good as anywhere, {}", self.share(placement, place)),
        }
    }

    /// Whether a model could be in `other` in the place of `place`, all else being equal.
    fn fits(&self, model: &Candidate, place: &Place, other: &Place) -> bool {
        let freed =
            if other.device == place.device { place.bytes.saturating_add(model.burst_bytes) } else { 0 };
        let device = self.devices.iter().find(|device| device.device == other.device);
        device.is_some_and(|device| {
            let used = device.used_bytes().saturating_sub(freed);
            used.saturating_add(other.bytes).saturating_add(model.burst_bytes) <= device.limit_bytes
        })
    }

    /// How a place keeps a model's goal.
    fn met(&self, model: &Candidate, place: &Place) -> String {
        let seconds = place.latency.as_secs_f64();
        let (what, limit) = match model.goal {
            Goal::Soonest => return format!("a call takes {seconds:.2} s"),
            Goal::Within(time) => (format!("{seconds:.2} s"), format!("{:.2} s", time.as_secs_f64())),
            Goal::RealTime { speech, factor } => {
                (format!("real-time factor {:.2}", seconds / speech.as_secs_f64()), format!("{factor:.2}"))
            }
        };
        if model.goal.deadline().is_some_and(|deadline| place.latency <= deadline) {
            format!("fast enough: {what} of {limit}")
        } else {
            format!("too slow: {what} of {limit}")
        }
    }

    fn share(&self, placement: &Placement, place: &Place) -> String {
        let total = placement.position(place.device).map_or(0, |at| placement.devices[at].1.total_bytes);
        format!("{:.0} % of {}", 100.0 * place.bytes as f64 / total.max(1) as f64, place.device)
    }
}

impl PlannedModel {
    fn new(model: &Candidate, place: Option<&Place>, reason: String) -> Self {
        Self {
            name: model.name.clone(),
            place: place.cloned(),
            burst_bytes: model.burst_bytes,
            latency: place.map_or(model.unplaced_latency(), |place| place.latency),
            calls_per_hour: model.calls_per_hour,
            moves: model.current.is_some() && !place.is_some_and(|place| model.is_current(place)),
            reason,
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is kept; `None` if nowhere.
    pub fn device(&self) -> Option<Device> {
        self.place.as_ref().map(|place| place.device)
    }

    /// What it is loaded from; `None` if it is kept nowhere.
    pub fn variant(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.variant.as_str())
    }

    /// Whether it is somewhere else now.
    pub fn moves(&self) -> bool {
        self.moves
    }

    /// Why, in words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl DeviceUse {
    /// Models, bursts and others together.
    pub fn used_bytes(&self) -> u64 {
        self.models_bytes.saturating_add(self.others_bytes)
    }
}

/// `q4_k on cuda:0`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.variant, self.device)
    }
}

/// A line for each model, then one for each device.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.models.iter().map(|model| model.name.len()).max().unwrap_or(0).max(5);
        writeln!(f, "{:width$}  place      type     at rest     bursts      a call   calls/h  why", "model")?;
        for model in &self.models {
            writeln!(f, "{:width$}  {}", model.name, model.line())?;
        }
        for device in &self.devices {
            writeln!(f, "{device}")?;
        }
        if !self.exact {
            writeln!(f, "the search was cut off: there may be a better plan")?;
        }
        Ok(())
    }
}

impl PlannedModel {
    fn line(&self) -> String {
        let place = self.device().map_or("none".to_owned(), |device| device.to_string());
        let arrow = if self.moves { "→" } else { "" };
        let bytes = self.place.as_ref().map_or(0, |place| place.bytes);
        let burst = if self.place.is_some() { self.burst_bytes } else { 0 };
        let (variant, seconds) = (self.variant().unwrap_or("-"), self.latency.as_secs_f64());
        let [bytes, burst] = [bytes, burst].map(|bytes| Gib(bytes).to_string());
        let calls = self.calls_per_hour;
        format!(
            "{:9}  {variant:6} {bytes:>9}  {burst:>9}  {seconds:>8.2} s  {calls:>8.0}  {}",
            arrow.to_owned() + &place,
            self.reason
        )
    }
}

/// `cuda:0: 7.50 GiB of models + 0.50 GiB of others = 8.00 GiB, 67 % of 12.00 GiB; limit 10.20 GiB`.
impl fmt::Display for DeviceUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [models, others, used, limit, total] =
            [self.models_bytes, self.others_bytes, self.used_bytes(), self.limit_bytes, self.total_bytes];
        let percent = 100.0 * used as f64 / total.max(1) as f64;
        write!(
            f,
            "{}: {} of models + {} of others = {}, {percent:.0} % of {}; limit {}",
            self.device,
            Gib(models),
            Gib(others),
            Gib(used),
            Gib(total),
            Gib(limit)
        )
    }
}
