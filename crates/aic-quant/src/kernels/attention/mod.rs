//! Attention that streams over pages of keys and values.
//!
//! Each task takes the query rows of some tokens, for all heads that share one key-value head, and goes over the pages that
//! these may see. A page becomes a tile of numbers once, meets all rows, and is forgotten; softmax follows along
//! ([Dao et al. 2022](https://arxiv.org/abs/2205.14135), section 3.1). So nothing grows with the length of the context, and
//! quantized keys and values cost one conversion.
mod attend;
mod cache_type;
mod encode;
mod plan;
mod product;
mod scratch;
mod softmax;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use attend::{AttentionOptions, attend, attend_all};
pub use cache_type::CacheType;
pub(crate) use plan::Span;
pub(crate) use store::{KvStore, LayerShape, PAGE};
