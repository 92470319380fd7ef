use std::fmt;

use serde::Serialize;

/// One metadata value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each variant is the Rust type it holds")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type; arrays do not nest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each variant is the Rust type it holds")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Value {
    /// The value as an unsigned integer, if it is a non-negative integer of any width.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U8(n) => Some((*n).into()),
            Self::U16(n) => Some((*n).into()),
            Self::U32(n) => Some((*n).into()),
            Self::U64(n) => Some(*n),
            Self::I8(n) => (*n).try_into().ok(),
            Self::I16(n) => (*n).try_into().ok(),
            Self::I32(n) => (*n).try_into().ok(),
            Self::I64(n) => (*n).try_into().ok(),
            _ => None,
        }
    }

    /// The value as a float, if it is one of either width.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(x) => Some((*x).into()),
            Self::F64(x) => Some(*x),
            _ => None,
        }
    }

    /// The value as text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a flag, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The value as an array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The name of the value's type in the GGUF specification.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::F32(_) => "f32",
            Self::Bool(_) => "bool",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
        }
    }

    /// The code of the value's type in a file.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }
}

/// A scalar as it is, text as it is, an array as its length: `[32000 values]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(n) => n.fmt(f),
            Self::I8(n) => n.fmt(f),
            Self::U16(n) => n.fmt(f),
            Self::I16(n) => n.fmt(f),
            Self::U32(n) => n.fmt(f),
            Self::I32(n) => n.fmt(f),
            Self::F32(x) => x.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::String(text) => text.fmt(f),
            Self::Array(array) => write!(f, "[{} values]", array.len()),
            Self::U64(n) => n.fmt(f),
            Self::I64(n) => n.fmt(f),
            Self::F64(x) => x.fmt(f),
        }
    }
}

impl Array {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(items) => items.len(),
            Self::I8(items) => items.len(),
            Self::U16(items) => items.len(),
            Self::I16(items) => items.len(),
            Self::U32(items) => items.len(),
            Self::I32(items) => items.len(),
            Self::F32(items) => items.len(),
            Self::Bool(items) => items.len(),
            Self::String(items) => items.len(),
            Self::U64(items) => items.len(),
            Self::I64(items) => items.len(),
            Self::F64(items) => items.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as text, if they are text.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::String(items) => Some(items),
            _ => None,
        }
    }

    /// The elements as 32-bit floats, if they are that.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32(items) => Some(items),
            _ => None,
        }
    }

    /// The elements as 64-bit integers, if they are integers that fit.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        match self {
            Self::U8(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::I8(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::U16(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::I16(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::U32(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::I32(items) => Some(items.iter().map(|&n| n.into()).collect()),
            Self::I64(items) => Some(items.clone()),
            Self::U64(items) => items.iter().map(|&n| n.try_into().ok()).collect(),
            _ => None,
        }
    }

    /// The code of the elements' type in a file.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
        impl From<Vec<$type>> for Value {
            fn from(items: Vec<$type>) -> Self {
                Self::Array(Array::$variant(items))
            }
        }
    )*};
}

from!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, bool => Bool,
      String => String, u64 => U64, i64 => I64, f64 => F64);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
