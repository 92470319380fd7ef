use std::fmt;
use std::time::Duration;

use super::bytes::Gib;
use super::model::Form;
use crate::{Device, Memory};

/// What happens to a [`Residency`](super::Residency).
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Somebody wants to use a model. Answered, at once or later, by one request in [`Effect::Grant`] or [`Effect::Refuse`].
    Acquire {
        /// The model's name.
        model: String,
    },
    /// A request that was granted has ended.
    Release {
        /// The model's name.
        model: String,
        /// The most that all requests to the model took together while this one ran, on top of the model at rest, if somebody
        /// measured it.
        burst_bytes: Option<u64>,
    },
    /// A request that was not answered yet is no longer wanted.
    Abandon {
        /// The model's name.
        model: String,
    },
    /// [`Effect::Load`] was carried out.
    Loaded {
        /// The model's name.
        model: String,
        /// What it really takes at rest; `None` if nobody can tell, and then the estimate stands.
        bytes: Option<u64>,
        /// How long loading took.
        took: Duration,
    },
    /// [`Effect::Load`] or [`Effect::Resize`] could not be carried out; a model that was there is as it was.
    Failed {
        /// The model's name.
        model: String,
        /// Why.
        reason: String,
        /// Whether memory was what was missing: then a smaller form is tried.
        out_of_memory: bool,
    },
    /// [`Effect::Unload`] was carried out.
    Unloaded {
        /// The model's name.
        model: String,
    },
    /// [`Effect::Keep`] came in time: the model was not unloaded.
    Kept {
        /// The model's name.
        model: String,
    },
    /// [`Effect::Resize`] was carried out.
    Resized {
        /// The model's name.
        model: String,
        /// What it really takes at rest now; `None` if nobody can tell.
        bytes: Option<u64>,
    },
    /// A device was asked for its memory.
    Observed {
        /// The device.
        device: Device,
        /// What it said.
        memory: Memory,
        /// How much of what is used is this process's, if somebody knows.
        ours_bytes: Option<u64>,
    },
    /// Time has passed: what is idle is unloaded, what was made smaller may grow again. Once a second is often enough.
    Tick,
}

/// What a [`Residency`](super::Residency) wants done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Load the model; answer with [`Input::Loaded`] or [`Input::Failed`].
    Load {
        /// The model's name.
        model: String,
        /// In which form.
        form: Form,
    },
    /// Unload the model, which no request uses; answer with [`Input::Unloaded`].
    Unload {
        /// The model's name.
        model: String,
    },
    /// Do not unload the model after all: answer with [`Input::Kept`] if it is still there, and say nothing if unloading has
    /// begun.
    Keep {
        /// The model's name.
        model: String,
    },
    /// Change the model's context, cache type or prefix cache without loading it again; answer with [`Input::Resized`] or
    /// [`Input::Failed`]. Requests may be running if only the prefix cache is to be dropped, and none otherwise.
    Resize {
        /// The model's name.
        model: String,
        /// What it is to become.
        form: Form,
    },
    /// So many requests for the model may go ahead; each is to end with [`Input::Release`].
    Grant {
        /// The model's name.
        model: String,
        /// How many.
        requests: u32,
        /// How the model is loaded, with the longest context there is.
        form: Form,
    },
    /// So many requests for the model cannot be served.
    Refuse {
        /// The model's name.
        model: String,
        /// How many.
        requests: u32,
        /// Why.
        reason: Refusal,
    },
    /// Give memory that allocators hold on to back to the device: a burst is over.
    Trim {
        /// The device.
        device: Device,
    },
    /// The account of a device is above its limit, and nothing there can give way: all of it is pinned, in use, or somebody
    /// else's. Told once, until it is over.
    Pressed {
        /// The device.
        device: Device,
        /// By how many bytes.
        over_bytes: u64,
    },
}

/// Why a model is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No model of this name was registered.
    Unknown,
    /// Even its smallest form is larger than any of its devices allows.
    TooLarge {
        /// What the smallest form needs.
        needed_bytes: u64,
        /// The most that any of the devices allows.
        limit_bytes: u64,
    },
    /// Its smallest form does not fit beside what cannot give way now.
    NoRoom {
        /// The device that came closest.
        device: Device,
        /// What the smallest form needs.
        needed_bytes: u64,
        /// By how much that is too much.
        short_bytes: u64,
    },
    /// It could not be loaded.
    Failed {
        /// What the loader said.
        reason: String,
    },
}

impl Refusal {
    /// Whether the same request may succeed later without any change to the configuration.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NoRoom { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no model of this name is registered"),
            Self::TooLarge { needed_bytes, limit_bytes } => write!(
                f,
                "its smallest form needs {} and the limit is {}; register a smaller variant or a shorter context",
                Gib(*needed_bytes),
                Gib(*limit_bytes)
            ),
            Self::NoRoom { device, needed_bytes, short_bytes } => write!(
                f,
                "its smallest form needs {} and {device} is short of {}, with nothing idle that could give way; try again later",
                Gib(*needed_bytes),
                Gib(*short_bytes)
            ),
            Self::Failed { reason } => write!(f, "it could not be loaded: {reason}"),
        }
    }
}
