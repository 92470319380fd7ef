use serde::{Deserialize, Serialize};

use crate::DType;

/// The best mixes from the smallest to the largest: what more bytes buy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Front {
    /// The names of all tensors, in the order of the source.
    pub tensors: Vec<String>,
    /// At most 64 mixes; bytes rise, damage falls.
    pub points: Vec<FrontPoint>,
}

/// One mix of a [`Front`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FrontPoint {
    /// Bytes of all tensors, with the padding between them.
    pub bytes: u64,
    /// The damage expected of it, in the unit of what [`Mix::measure`](crate::Mix::measure) was given; without that, the
    /// weighted sum of the weights' relative errors.
    pub damage: f64,
    /// The type of each tensor.
    pub types: Vec<DType>,
}
