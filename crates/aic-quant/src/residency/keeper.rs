use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::input::{Effect, Input, Refusal};
use super::manager::Residency;
use super::model::Form;
use crate::{Device, DeviceMemory, Error, Result};

/// A door: who really loads and unloads models for a [`Keeper`].
pub trait Loader {
    /// Loads `model` as `form` says. Out of memory is [`Error::DoesNotFit`], and then a smaller form is tried.
    ///
    /// # Errors
    /// Whatever is in the way.
    fn load(&mut self, model: &str, form: &Form) -> Result<Load>;

    /// Drops `model`, which no request uses.
    fn unload(&mut self, model: &str);

    /// Changes context, cache type or prefix cache of `model` to those of `form`; requests may run if only the prefix cache
    /// is dropped. Returns what it takes at rest now, if that can be told.
    ///
    /// # Errors
    /// Whatever is in the way; the model is then as it was.
    fn resize(&mut self, model: &str, form: &Form) -> Result<Option<u64>>;

    /// Gives memory that allocators hold on to back to `device`. Does nothing unless implemented.
    fn trim(&mut self, device: Device) {
        let _ = device;
    }
}

/// A load that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What the model takes at rest; `None` if that cannot be told.
    pub bytes: Option<u64>,
    /// How long loading took.
    pub took: Duration,
}

/// A [`Residency`] whose effects are carried out at once, by a [`Loader`], on the thread that asks.
///
/// Times are those of [`Residency`].
///
/// ```
/// use std::time::Duration;
///
/// use aic_quant::residency::{Experience, Form, Keeper, Load, Loader, ModelSpec, Policy, Residency};
/// use aic_quant::{Result, SystemMemory};
///
/// /// Pretends to load models.
/// struct Pretender;
///
/// impl Loader for Pretender {
///     fn load(&mut self, model: &str, form: &Form) -> Result<Load> {
///         println!("loading {model}: {form}");
///         Ok(Load { bytes: None, took: Duration::from_secs(1) })
///     }
///     fn unload(&mut self, model: &str) {
///         println!("unloading {model}");
///     }
///     fn resize(&mut self, _model: &str, _form: &Form) -> Result<Option<u64>> {
///         Ok(None)
///     }
/// }
///
/// let mut residency = Residency::new(Policy::default(), Experience::new("laptop"))?;
/// residency.register(ModelSpec::new("embedder").variant("q8_0", 40 << 20))?;
/// let mut keeper = Keeper::new(residency, Pretender, SystemMemory);
///
/// let now = Duration::from_secs(9 * 3600);
/// let form = keeper.acquire("embedder", now)?;
/// assert_eq!(form.variant, "q8_0");
/// keeper.release("embedder", None, now + Duration::from_millis(20));
/// # Ok::<(), aic_quant::Error>(())
/// ```
pub struct Keeper<L> {
    residency: Residency,
    loader: L,
    memory: Box<dyn DeviceMemory>,
}

impl<L: Loader> Keeper<L> {
    /// Carries out what `residency` wants by `loader`, and asks `memory` how much there is.
    pub fn new(residency: Residency, loader: L, memory: impl DeviceMemory) -> Self {
        Self { residency, loader, memory: Box::new(memory) }
    }

    /// Has `model` in memory, and says in which form; each success is to be followed by a [`release`](Self::release).
    ///
    /// # Errors
    /// [`Error::NotAdmitted`] with the reason.
    pub fn acquire(&mut self, model: &str, now: Duration) -> Result<Form> {
        self.observe(now);
        let answer = self.carry_out(Input::Acquire { model: model.to_owned() }, now, Some(model));
        let refused = |reason| Error::NotAdmitted { model: model.to_owned(), reason };
        // With one thread everything that was waited for is done by now.
        let unanswered = || Err(Refusal::Failed { reason: "the loader left it unfinished".to_owned() });
        answer.unwrap_or_else(unanswered).map_err(refused)
    }

    /// A request to `model` has ended; while it ran all requests to the model took at most `burst_bytes` on top of it
    /// together, if that was measured.
    pub fn release(&mut self, model: &str, burst_bytes: Option<u64>, now: Duration) {
        self.carry_out(Input::Release { model: model.to_owned(), burst_bytes }, now, None);
    }

    /// Looks at the devices and does what is due; to be called about once a second.
    pub fn tick(&mut self, now: Duration) {
        self.observe(now);
        self.carry_out(Input::Tick, now, None);
    }

    /// The state.
    pub fn residency(&self) -> &Residency {
        &self.residency
    }

    /// The state, to register more models or to prefer other places.
    pub fn residency_mut(&mut self) -> &mut Residency {
        &mut self.residency
    }

    /// Who loads.
    pub fn loader(&self) -> &L {
        &self.loader
    }

    /// Takes the parts asunder.
    pub fn into_parts(self) -> (Residency, L) {
        (self.residency, self.loader)
    }

    fn observe(&mut self, now: Duration) {
        for device in self.residency.devices() {
            if let Some(memory) = self.memory.memory(device) {
                self.carry_out(Input::Observed { device, memory, ours_bytes: None }, now, None);
            }
        }
    }

    /// Carries out all that follows from `input`; returns what was answered to `asking`.
    fn carry_out(
        &mut self,
        input: Input,
        now: Duration,
        asking: Option<&str>,
    ) -> Option<Result<Form, Refusal>> {
        let mut answer = None;
        let mut effects: VecDeque<Effect> = self.residency.step(input, now).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Grant { model, form, .. } if Some(model.as_str()) == asking => {
                    answer = Some(Ok(form));
                }
                Effect::Refuse { model, reason, .. } if Some(model.as_str()) == asking => {
                    answer = Some(Err(reason));
                }
                effect => {
                    let happened = self.perform(effect);
                    effects.extend(happened.map(|input| self.residency.step(input, now)).unwrap_or_default());
                }
            }
        }
        answer
    }

    /// Does one thing, and returns what happened.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Load { model, form } => Some(match self.loader.load(&model, &form) {
                Ok(Load { bytes, took }) => Input::Loaded { model, bytes, took },
                Err(error) => failed(model, &error),
            }),
            Effect::Resize { model, form } => Some(match self.loader.resize(&model, &form) {
                Ok(bytes) => Input::Resized { model, bytes },
                Err(error) => failed(model, &error),
            }),
            Effect::Unload { model } => {
                self.loader.unload(&model);
                Some(Input::Unloaded { model })
            }
            Effect::Trim { device } => {
                self.loader.trim(device);
                None
            }
            // Unloading is done before anybody can want it undone; nobody else waits for an answer.
            Effect::Keep { .. } | Effect::Grant { .. } | Effect::Refuse { .. } | Effect::Pressed { .. } => {
                None
            }
        }
    }
}

impl<L> fmt::Debug for Keeper<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("residency", &self.residency).finish_non_exhaustive()
    }
}

fn failed(model: String, error: &Error) -> Input {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let reason = causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"));
    Input::Failed { model, reason, out_of_memory: matches!(error, Error::DoesNotFit { .. }) }
}
