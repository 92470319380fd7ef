//! Hardware described, optimisation profiles for it, and a recommendation with reasons.
//!
//! Three questions, each of which stands alone:
//!
//! - *What fits?* [`weights_bytes`] and [`kv_bytes`] compute the memory of a model; what cannot be known is `None`.
//! - *What should I run?* [`recommend`] picks a quantization [`Level`] and a device, never more than fits, and says why.
//! - *Which settings hold?* A [`Profile`] is built from layers (built-in, hardware [`Class`], [`UseCase`],
//!   recommendation, the user's file, this run) and remembers where each setting came from.
//!
//! ```
//! use aic_profiles::{Goal, Hardware, KvShape, Level, ModelNeeds, recommend};
//!
//! const GIB: u64 = 1 << 30;
//! let laptop = Hardware::new(8, 16 * GIB).memory_available(10 * GIB);
//! let model = ModelNeeds::new(7_000_000_000, KvShape { layers: 32, kv_heads: 8, head_dim: 128 });
//!
//! let advice = recommend(&laptop, &model, Goal::Balanced)?;
//!
//! assert_eq!(advice.profile.level.value, Level::Q8_0);
//! println!("{advice}");
//! # Ok::<(), aic_profiles::Error>(())
//! ```
//!
//! A user's own profiles inherit from the built-in ones or from each other:
//!
//! ```
//! # #[cfg(feature = "toml")] {
//! use aic_profiles::{Catalog, Hardware};
//!
//! let catalog = Catalog::builtin().with_toml("[mine]\ninherits = \"chat\"\ncontext_length = 8192")?;
//! let profile = catalog.resolve("mine", &Hardware::new(8, 16 << 30))?;
//!
//! assert_eq!(profile.context_length.value.get(), 8192);
//! assert_eq!(profile.context_length.origin.to_string(), "user profile `mine`");
//! # }
//! # Ok::<(), aic_profiles::Error>(())
//! ```
mod catalog;
mod class;
#[cfg(feature = "detect")]
mod detect;
mod error;
mod estimate;
mod hardware;
mod level;
mod needs;
mod origin;
mod profile;
mod recommend;
mod size;
mod suggestion;
mod use_case;

pub use catalog::{Catalog, Definition};
pub use class::Class;
pub use error::{Error, Result};
pub use estimate::{Engine, Estimate, KvShape, kv_bytes, weights_bytes};
pub use hardware::{Cpu, Gpu, Hardware, Memory};
pub use level::Level;
pub use needs::ModelNeeds;
pub use origin::Origin;
pub use profile::{GpuLayers, Profile, Setting, Settings};
pub use recommend::{Candidate, Device, Goal, Recommendation, Rejection, recommend};
pub use use_case::UseCase;
