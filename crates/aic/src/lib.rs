//! Fast, cheap and dependable AI calls on whatever machine the program finds itself on.
//!
//! Each feature named after a crate re-exports that crate as a module.
#[cfg(feature = "alerts")]
pub use aic_alerts as alerts;
#[cfg(feature = "bench")]
pub use aic_bench as bench;
#[cfg(feature = "cache")]
pub use aic_cache as cache;
#[cfg(feature = "monitor")]
pub use aic_monitor as monitor;
#[cfg(feature = "profiles")]
pub use aic_profiles as profiles;
#[cfg(feature = "quant")]
pub use aic_quant as quant;
#[cfg(feature = "router")]
pub use aic_router as router;
#[cfg(feature = "tuner")]
pub use aic_tuner as tuner;
