use std::fmt;

use serde::{Serialize, Serializer};

/// Something in a GGUF file that is wrong and can be lived with.
///
/// [`File::open`](super::File::open) refuses the file for it; [`File::open_lenient`](super::File::open_lenient) reads on
/// and keeps the warning. What a warning says is what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the values in the message")]
pub enum Warning {
    /// A metadata key appears again; its first value counts.
    DuplicateKey { key: String },
    /// A text of this key, or this name, is not UTF-8; what is not became `�`.
    NotUtf8 { what: String },
    /// A flag of this key is neither 0 nor 1; it counts as true.
    OddBool { key: String },
    /// The alignment is an integer of another type than `u32`.
    AlignmentType { type_name: &'static str },
    /// A name of 64 bytes or more, for which llama.cpp has no room.
    LongName { tensor: String, bytes: usize },
    /// A tensor without dimensions; it counts as one of shape `[1]`.
    Scalar { tensor: String },
    /// A tensor of an unknown type; it was left out.
    UnknownType { tensor: String, code: u32 },
    /// Data that does not start at a multiple of the alignment.
    Unaligned { tensor: String, offset: u64, alignment: u64 },
    /// Data that does not start where the data of the tensor before it ends, alignment counted in.
    Misplaced { tensor: String, offset: u64, expected: u64 },
    /// Data that the file does not hold to its end; reading it fails.
    CutShort { tensor: String, bytes: u64, offset: u64, available: u64 },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateKey { key } => write!(f, "metadata key `{key}` appears twice"),
            Self::NotUtf8 { what } => write!(f, "{what} is not UTF-8"),
            Self::OddBool { key } => write!(f, "`{key}` has a bool that is neither 0 nor 1"),
            Self::AlignmentType { type_name } => {
                write!(f, "`{}` is {type_name}, expected u32", super::ALIGNMENT_KEY)
            }
            Self::LongName { tensor, bytes } => {
                write!(f, "tensor name `{tensor}` has {bytes} bytes, expected at most {}", super::NAME_LIMIT)
            }
            Self::Scalar { tensor } => {
                write!(f, "tensor `{tensor}` has 0 dimensions, expected 1 to {}", super::DIMENSION_LIMIT)
            }
            Self::UnknownType { tensor, code } => write!(f, "tensor `{tensor}` has the unknown type {code}"),
            Self::Unaligned { tensor, offset, alignment } => write!(
                f,
                "tensor `{tensor}` starts at {offset}, which is not a multiple of the alignment {alignment}"
            ),
            Self::Misplaced { tensor, offset, expected } => {
                write!(f, "tensor `{tensor}` starts at {offset}, expected {expected}")
            }
            Self::CutShort { tensor, bytes, offset, available } => write!(
                f,
                "tensor `{tensor}` needs {bytes} bytes at {offset}, but the data section has {available}; the file may be cut short"
            ),
        }
    }
}

/// The message.
impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
