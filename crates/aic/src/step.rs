use aic_monitor::Machine;
use aic_profiles::Recommendation;

/// A step of putting an [`Aic`](crate::Aic) together, for whoever wants to show it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// The machine was looked at.
    Machine(&'a Machine),
    /// It was decided how the local model is loaded, and why.
    Profile(&'a Recommendation),
    /// The local model is being loaded.
    Loading(Progress),
}

/// How far loading the model has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the file done with.
    pub done_bytes: u64,
    /// Bytes of all its tensors.
    pub total_bytes: u64,
}
