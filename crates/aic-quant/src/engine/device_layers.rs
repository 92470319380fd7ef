use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How many of a model's layers run on its [device](super::ModelOptions::device): the first ones, with the embedding. The others
/// run on the processor, with what comes after them.
///
/// Parses from and prints as `all`, a number, or `fit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceLayers {
    /// All of them, and what comes after the last.
    #[default]
    All,
    /// The first so many. 0 keeps the model off the device; as many as it has, or more, are all.
    Count(usize),
    /// As many as fit what the device has free, as [`memory`](super::ModelOptions::memory) says: all, some or none.
    Fitting,
}

impl fmt::Display for DeviceLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Count(layers) => layers.fmt(f),
            Self::Fitting => f.pad("fit"),
        }
    }
}

impl FromStr for DeviceLayers {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "all" => Ok(Self::All),
            "fit" => Ok(Self::Fitting),
            _ => name.parse().map(Self::Count).map_err(|_| Error::Unsupported {
                what: "number of layers",
                name: name.to_owned(),
                supported: "all, fit, and numbers such as 12",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_printing_and_parsing() {
        for layers in
            [DeviceLayers::All, DeviceLayers::Count(0), DeviceLayers::Count(7), DeviceLayers::Fitting]
        {
            assert_eq!(layers.to_string().parse::<DeviceLayers>().unwrap(), layers);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for name in ["", "-1", "1.5", "some"] {
            assert!(name.parse::<DeviceLayers>().is_err(), "{name}");
        }
    }
}
