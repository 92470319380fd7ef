//! Which models are in memory, where, and what gives way.
//!
//! - A [`Residency`] decides what is loaded and what is unloaded, made smaller or moved to make room, so that models, their
//!   bursts and everybody else keep within a share of each device's memory. It is a state machine: [`Input`] and time in,
//!   [`Effect`] out; nothing in it reads a clock or touches a device. Its [`Ledger`] says who has how much.
//! - A [`Keeper`] carries the effects out with a [`Loader`]: `Models`, for those that this crate runs, or one of yours.
//! - A [`Placement`] finds where each of several models is best kept, given how fast it is in each place, and explains the
//!   [`Plan`].
//! - [`Experience`] is what was learned: how wrong estimates are on this machine, how long loading takes, what requests take at
//!   their peak, in which order models are used. It can be kept in a file.
mod bytes;
mod corrections;
mod cover;
mod experience;
mod gaps;
mod input;
mod keeper;
mod ladder;
mod ledger;
mod manager;
mod model;
#[cfg(feature = "engine")]
mod models;
mod peaks;
mod placement;
mod policy;
mod predictor;

pub use corrections::Correction;
pub use experience::Experience;
pub use input::{Effect, Input, Refusal};
pub use keeper::{Keeper, Load, Loader};
pub use ledger::{Charge, Ledger};
pub use manager::Residency;
pub use model::{CacheShape, Form, ModelSpec};
#[cfg(feature = "engine")]
pub use models::Models;
pub use placement::{Candidate, DeviceUse, Goal, Placement, Plan, PlannedModel};
pub use policy::Policy;
