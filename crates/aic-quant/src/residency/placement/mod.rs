mod plan;
mod search;

use std::time::Duration;

use super::ledger::DEFAULT_SHARE;
use super::model::disk_time;
use crate::{Device, Error, Memory, Result};
pub use plan::{DeviceUse, Plan, PlannedModel};
use search::{Choice, Problem};

/// What a call that misses its goal counts as: an hour of waiting, so that no saving of others makes up for it.
const MISSED_SECONDS: f64 = 3600.0;

/// More calls in an hour than any model answers.
const MOST_CALLS: f64 = 1e9;

/// Decides which models are best kept where, given how fast each is in each place.
///
/// Of all ways to give each model one of its places, or none, within the limits of all devices, the one with the least
/// seconds waited in an hour is found:
///
/// - A call takes the latency of its place. A model without a place is loaded for each call, in its slowest place by this
///   account, and that is waited for, too.
/// - A model with a [goal](Goal) that its place meets does not wait at all: being faster would gain nothing, so a
///   speech model that is fast enough on the processor leaves the GPU to others. A call that misses its goal counts as an hour.
/// - A model that is somewhere already and would move costs its loading, spread over the [payback](Self::payback): it moves
///   only if that is saved within this time.
///
/// Among equals the one with the emptiest devices is taken. The search is exact (depth-first branch and bound with
/// Lagrangian bounds, [Held and Karp 1971](https://doi.org/10.1007/BF01584070)) for as many models as people run; if it is cut
/// off after a million steps the [plan](Plan::is_exact) says so.
///
/// ```
/// use std::time::Duration;
///
/// use aic_quant::residency::{Candidate, Goal, Placement};
/// use aic_quant::{Device, Memory};
///
/// const GIB: u64 = 1 << 30;
/// let gpu = Device::Cuda(0);
/// let speech = Goal::RealTime { speech: Duration::from_secs(10), factor: 0.5 };
/// let plan = Placement::new()
///     .device(gpu, Memory { total_bytes: 8 * GIB, free_bytes: 8 * GIB })
///     .device(Device::Cpu, Memory { total_bytes: 32 * GIB, free_bytes: 24 * GIB })
///     .model(
///         Candidate::new("chat", 60.0)
///             .place(gpu, "q4_k", 5 * GIB, Duration::from_secs(2))
///             .place(Device::Cpu, "q4_k", 5 * GIB, Duration::from_secs(20)),
///     )
///     .model(
///         Candidate::new("tts", 60.0)
///             .goal(speech)
///             .place(gpu, "f16", 2 * GIB, Duration::from_secs(1))
///             .place(Device::Cpu, "f16", 2 * GIB, Duration::from_secs(4)),
///     )
///     .solve()?;
/// assert_eq!(plan.device_of("chat"), Some(gpu));
/// assert_eq!(plan.device_of("tts"), Some(Device::Cpu));
/// println!("{plan}");
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Placement {
    devices: Vec<(Device, Memory)>,
    models: Vec<Candidate>,
    limit_share: f64,
    payback: Duration,
}

/// A model to be placed, and how fast it is in each place.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Candidate {
    name: String,
    calls_per_hour: f64,
    goal: Goal,
    places: Vec<Place>,
    burst_bytes: u64,
    reload: Option<Duration>,
    current: Option<(Device, String)>,
}

/// What is fast enough for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Goal {
    /// Nothing: every second counts.
    #[default]
    Soonest,
    /// A call is to be done within this time.
    Within(Duration),
    /// A call makes or hears this much speech, and is to take at most `factor` of that time.
    RealTime {
        /// Speech in a call.
        speech: Duration,
        /// The real-time factor allowed.
        factor: f64,
    },
}

/// One way to keep a model.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    device: Device,
    variant: String,
    bytes: u64,
    latency: Duration,
    penalty: Duration,
}

impl Goal {
    /// The longest a call may take; `None` if it can never be short enough.
    fn deadline(self) -> Option<Duration> {
        match self {
            Self::Soonest => None,
            Self::Within(time) => Some(time),
            Self::RealTime { speech, factor } => {
                Duration::try_from_secs_f64(speech.as_secs_f64() * factor).ok()
            }
        }
    }
}

impl Candidate {
    /// A model that is called so often.
    pub fn new(name: impl Into<String>, calls_per_hour: f64) -> Self {
        Self {
            name: name.into(),
            calls_per_hour,
            goal: Goal::Soonest,
            places: Vec::new(),
            burst_bytes: 0,
            reload: None,
            current: None,
        }
    }

    /// Adds a place: the bytes the variant takes there at rest, and the latency of a call, both measured.
    pub fn place(
        mut self,
        device: Device,
        variant: impl Into<String>,
        bytes: u64,
        latency: Duration,
    ) -> Self {
        let variant = variant.into();
        self.places.push(Place { device, variant, bytes, latency, penalty: Duration::ZERO });
        self
    }

    /// What a call on the place added last counts as on top of its latency: how long you would wait for the better answer of
    /// a larger variant. Defaults to nothing.
    pub fn penalty(mut self, penalty: Duration) -> Self {
        if let Some(place) = self.places.last_mut() {
            place.penalty = penalty;
        }
        self
    }

    /// What is fast enough. Defaults to [`Goal::Soonest`].
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// What requests take on top, in any place. Defaults to 0.
    pub fn burst_bytes(mut self, bytes: u64) -> Self {
        self.burst_bytes = bytes;
        self
    }

    /// How long loading it takes. By default the bytes of its largest place at 1 GB/s.
    pub fn reload(mut self, time: Duration) -> Self {
        self.reload = Some(time);
        self
    }

    /// Where it is now. By default it is in no place.
    pub fn current(mut self, device: Device, variant: impl Into<String>) -> Self {
        self.current = Some((device, variant.into()));
        self
    }

    /// Seconds waited in an hour at `place`.
    fn waited(&self, place: &Place) -> f64 {
        self.calls_per_hour * (self.wait(place.latency) + place.penalty.as_secs_f64())
    }

    /// Seconds waited in an hour if the model has to be loaded for each call; that is waited for, goal or not.
    fn waited_unplaced(&self) -> f64 {
        let reload = if self.goal == Goal::Soonest { Duration::ZERO } else { self.reload_time() };
        self.calls_per_hour * (self.wait(self.unplaced_latency()) + reload.as_secs_f64())
    }

    /// What a call of this latency counts as, in seconds.
    fn wait(&self, latency: Duration) -> f64 {
        match self.goal.deadline() {
            None => latency.as_secs_f64(),
            Some(deadline) if latency <= deadline => 0.0,
            Some(_) => MISSED_SECONDS + latency.as_secs_f64(),
        }
    }

    /// A call's latency if the model has to be loaded for it; where is not known, so in its slowest place.
    fn unplaced_latency(&self) -> Duration {
        let slowest = self.places.iter().map(|place| place.latency).max().unwrap_or_default();
        self.reload_time().saturating_add(slowest)
    }

    fn reload_time(&self) -> Duration {
        let largest = self.places.iter().map(|place| place.bytes).max().unwrap_or(0);
        self.reload.unwrap_or_else(|| disk_time(largest))
    }

    fn is_current(&self, place: &Place) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(device, variant)| *device == place.device && *variant == place.variant)
    }
}

impl Default for Placement {
    fn default() -> Self {
        Self::new()
    }
}

impl Placement {
    /// No devices and no models yet.
    pub fn new() -> Self {
        Self {
            devices: Vec::new(),
            models: Vec::new(),
            limit_share: DEFAULT_SHARE,
            payback: Duration::from_secs(10 * 60),
        }
    }

    /// Adds a device and its memory without the models that are to be placed: what is used of it is others'.
    pub fn device(mut self, device: Device, memory: Memory) -> Self {
        self.devices.push((device, memory));
        self
    }

    /// Adds a model.
    pub fn model(mut self, model: Candidate) -> Self {
        self.models.push(model);
        self
    }

    /// The share of each device's memory that models, their bursts and others may use, above 0 and at most 1. Defaults to
    /// 0.85.
    pub fn limit_share(mut self, share: f64) -> Self {
        self.limit_share = share;
        self
    }

    /// In which time a move must save what it costs. Defaults to ten minutes.
    pub fn payback(mut self, time: Duration) -> Self {
        self.payback = time;
        self
    }

    /// Finds the best plan.
    ///
    /// # Errors
    /// [`Error::Option`] if the share, the payback or a number of calls is out of its range, or a model has a place on a
    /// device that was not added.
    pub fn solve(&self) -> Result<Plan> {
        self.check()?;
        let problem = Problem {
            rooms: self.devices.iter().map(|(_, memory)| self.room(*memory)).collect(),
            models: self.models.iter().map(|model| self.choices(model)).collect(),
        };
        let solution = search::solve(&problem);
        Ok(Plan::new(self, &solution.chosen, solution.exact))
    }

    fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if !(self.limit_share > 0.0 && self.limit_share <= 1.0) {
            return wrong("limit_share", self.limit_share.to_string(), "above 0 and at most 1");
        }
        if self.payback.is_zero() {
            return wrong("payback", "0".to_owned(), "a time above zero");
        }
        for model in &self.models {
            if !(0.0..=MOST_CALLS).contains(&model.calls_per_hour) {
                return wrong("calls_per_hour", model.calls_per_hour.to_string(), "0 to a billion");
            }
            if let Some(place) = model.places.iter().find(|place| self.position(place.device).is_none()) {
                return wrong("place", place.device.to_string(), "one of the devices added");
            }
        }
        Ok(())
    }

    fn position(&self, device: Device) -> Option<usize> {
        self.devices.iter().position(|(other, _)| *other == device)
    }

    fn limit(&self, memory: Memory) -> u64 {
        (memory.total_bytes as f64 * self.limit_share) as u64
    }

    fn room(&self, memory: Memory) -> u64 {
        self.limit(memory).saturating_sub(memory.total_bytes.saturating_sub(memory.free_bytes))
    }

    /// All places of a model, and none as the last choice.
    fn choices(&self, model: &Candidate) -> Vec<Choice> {
        let choice = |place: &Place| Choice {
            device: self.position(place.device),
            bytes: place.bytes.saturating_add(model.burst_bytes),
            cost: model.waited(place) + self.moving(model, place),
        };
        let none = Choice { device: None, bytes: 0, cost: model.waited_unplaced() };
        model.places.iter().map(choice).chain([none]).collect()
    }

    /// What moving to `place` costs, in seconds an hour.
    fn moving(&self, model: &Candidate, place: &Place) -> f64 {
        if model.current.is_none() || model.is_current(place) {
            return 0.0;
        }
        model.reload_time().as_secs_f64() * 3600.0 / self.payback.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const GPU: Device = Device::Cuda(0);

    fn memory(total: u64, free: u64) -> Memory {
        Memory { total_bytes: total * GIB, free_bytes: free * GIB }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A GPU with room for 10 GiB and a processor with room for all.
    fn placement() -> Placement {
        Placement::new().limit_share(1.0).device(GPU, memory(12, 10)).device(Device::Cpu, memory(64, 64))
    }

    /// A model that is `speedup` times as fast on the GPU as the 10 seconds it needs on the processor.
    fn model(name: &str, bytes: u64, calls: f64, speedup: f64) -> Candidate {
        Candidate::new(name, calls)
            .place(GPU, "f16", bytes * GIB, seconds(10.0 / speedup))
            .place(Device::Cpu, "f16", bytes * GIB, seconds(10.0))
            .reload(seconds(5.0))
    }

    #[test]
    fn gpu_goes_to_the_set_that_saves_most_not_to_the_greediest() {
        // By saving per byte `a` comes first, and then neither of the others fits.
        let placement = placement()
            .model(model("a", 6, 100.0, 4.0))
            .model(model("b", 5, 75.0, 4.0))
            .model(model("c", 5, 75.0, 4.0));
        let plan = placement.solve().unwrap();
        assert_eq!(["a", "b", "c"].map(|name| plan.device_of(name).unwrap()), [Device::Cpu, GPU, GPU]);
        assert!(plan.is_exact());
    }

    #[test]
    fn bursts_count_against_the_limit() {
        let burst = placement().model(model("a", 9, 10.0, 4.0).burst_bytes(2 * GIB)).solve().unwrap();
        assert_eq!(burst.device_of("a"), Some(Device::Cpu));
    }

    #[test]
    fn speech_that_keeps_pace_on_the_processor_leaves_the_gpu() {
        let goal = |factor| Goal::RealTime { speech: seconds(25.0), factor };
        let at = |factor| {
            let placement = placement().model(model("tts", 2, 10.0, 4.0).goal(goal(factor)));
            placement.solve().unwrap().device_of("tts").unwrap()
        };
        assert_eq!(at(0.5), Device::Cpu);
        assert_eq!(at(0.3), GPU);
    }

    #[test]
    fn missed_deadline_outweighs_any_saving() {
        let placement = placement()
            .model(model("busy", 8, 100_000.0, 10.0))
            .model(model("urgent", 8, 1000.0, 4.0).goal(Goal::Within(seconds(3.0))));
        let plan = placement.solve().unwrap();
        assert_eq!(plan.device_of("urgent"), Some(GPU));
    }

    #[test]
    fn model_moves_only_if_that_is_paid_back_in_time() {
        // On the GPU it would save 7.5 s a call and cost 5 s to move there.
        let at = |calls: f64| {
            let model = model("a", 2, calls, 4.0).current(Device::Cpu, "f16");
            placement().payback(seconds(600.0)).model(model).solve().unwrap().device_of("a").unwrap()
        };
        assert_eq!(at(3.0), Device::Cpu, "3.75 s saved in ten minutes");
        assert_eq!(at(5.0), GPU, "6.25 s saved in ten minutes");
    }

    #[test]
    fn smaller_variant_is_taken_where_that_is_worth_more_than_its_penalty() {
        let at = |penalty| {
            let small = Candidate::new("nllb", 100.0)
                .place(GPU, "f16", 6 * GIB, seconds(1.0))
                .place(GPU, "int8", 3 * GIB, seconds(1.0))
                .penalty(seconds(penalty));
            let plan = placement().model(small).model(model("chat", 6, 10.0, 4.0)).solve().unwrap();
            (plan.models()[0].variant().unwrap().to_owned(), plan.device_of("chat").unwrap())
        };
        assert_eq!(at(0.1), ("int8".to_owned(), GPU));
        assert_eq!(at(2.0), ("f16".to_owned(), Device::Cpu));
    }

    #[test]
    fn model_that_fits_nowhere_is_loaded_for_each_call() {
        let plan = placement().model(model("huge", 100, 1.0, 4.0)).solve().unwrap();
        assert_eq!(plan.device_of("huge"), None);
        assert!(plan.to_string().contains("no room"), "{plan}");
    }

    #[test]
    fn numbers_out_of_range_and_unknown_devices_are_refused() {
        let of = |placement: Placement| placement.solve().unwrap_err().to_string();
        assert!(of(placement().limit_share(f64::NAN)).contains("limit_share"));
        assert!(of(placement().payback(Duration::ZERO)).contains("payback"));
        assert!(of(placement().model(Candidate::new("a", f64::NAN))).contains("calls_per_hour"));
        let elsewhere = Candidate::new("a", 1.0).place(Device::Metal(0), "f16", 1, seconds(1.0));
        assert!(of(placement().model(elsewhere)).contains("metal:0"));
    }
}
