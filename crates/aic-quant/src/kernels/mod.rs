//! The arithmetic of running a model on the processor: matrix products over packed weights, attention over pages of keys and
//! values, and the threads that share the work.
//!
//! The only place in the workspace where `unsafe` is allowed. Every kernel of an instruction set has a scalar twin that the
//! tests compare it with. Nothing here knows what a model is.
#![allow(unsafe_code)]
mod affinity;
mod attention;
mod heap;
mod instructions;
mod packed;
mod parts;
mod pool;
mod speed;
mod topology;
mod vectors;

pub use affinity::Affinity;
pub(crate) use affinity::stay_on;
pub use attention::CacheType;
pub(crate) use attention::{AttentionOptions, KvStore, LayerShape, PAGE, Span, attend, attend_all};
pub(crate) use heap::give_back;
pub use instructions::InstructionSet;
pub(crate) use packed::{Packed, Product, Scratch, multiply};
pub(crate) use parts::Parts;
pub(crate) use pool::Pool;
pub use speed::{KernelSpeed, kernel_speed};
pub(crate) use vectors::{Angles, Pairs, Vectors};
