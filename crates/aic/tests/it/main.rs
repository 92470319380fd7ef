//! What an application sees of the facade.
#[cfg(feature = "full")]
mod cached;
#[cfg(all(feature = "full", feature = "demo-model"))]
mod further;
#[cfg(all(feature = "full", feature = "demo-model"))]
mod local;
#[cfg(feature = "full")]
mod trouble;

#[cfg(feature = "full")]
mod upstream;
