//! Which type each tensor of a model gets.
mod choice;
mod plan;

use std::fmt;
use std::str::FromStr;

pub(crate) use choice::{Choice, choose};
pub use plan::{Plan, Planned};

use crate::codec::check_encodable;
use crate::{DType, Error, Importance, Result, TensorSource};

/// What a model is to become: a type for every matrix, and why.
///
/// Its name is a type (`Q4_K`: every matrix in that type) or an everyday word (`int4`).
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    dtype: DType,
}

impl Recipe {
    /// Every matrix in `dtype`.
    pub fn uniform(dtype: DType) -> Self {
        Self { dtype }
    }

    /// The type each tensor of `source` gets.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`] if nothing can be turned into the type.
    pub fn plan(&self, source: &dyn TensorSource, _importance: Option<&Importance>) -> Result<Plan> {
        check_encodable(self.dtype)?;
        let planned = |tensor| Planned::new(tensor, self.dtype, &choose(tensor, self.dtype));
        Ok(Plan::new(source.tensors().iter().map(planned).collect()))
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        name.parse().map(Self::uniform)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dtype.fmt(f)
    }
}
