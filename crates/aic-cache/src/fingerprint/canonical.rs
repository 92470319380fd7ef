//! One byte string for equal content: the rules are in the documentation of `Fingerprint`.
//!
//! Each value is a kind byte and a content that tells its own length, so that no two values share bytes:
//! `kind`, or `kind ‖ 16-byte magnitude`, `kind ‖ 8-byte float`, `kind ‖ length ‖ bytes`,
//! `kind ‖ count ‖ values`. A map's pairs are sorted by their bytes.

use std::fmt;

use serde::{
    Serialize,
    ser::{self, Serializer},
};

const LEVELS_MAX: u32 = 128;

/// The canonical bytes of `value`.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::with_capacity(256);
    value.serialize(Encoder { out: &mut out, level: 0 })?;
    Ok(out)
}

/// Why a value has no canonical bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Null = 0,
    False = 1,
    True = 2,
    Natural = 3,
    Negative = 4,
    Float = 5,
    Text = 6,
    Bytes = 7,
    List = 8,
    Map = 9,
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    level: u32,
}

impl<'a> Encoder<'a> {
    fn kind(&mut self, kind: Kind) {
        self.out.push(kind as u8);
    }

    fn integer(mut self, kind: Kind, magnitude: u128) -> Result<(), Refused> {
        self.kind(kind);
        self.out.extend_from_slice(&magnitude.to_be_bytes());
        Ok(())
    }

    fn string(&mut self, kind: Kind, content: &[u8]) {
        self.kind(kind);
        self.out.extend_from_slice(&(content.len() as u64).to_be_bytes());
        self.out.extend_from_slice(content);
    }

    /// The same place, one level deeper.
    fn deeper(self) -> Result<Self, Refused> {
        if self.level == LEVELS_MAX {
            return Err(Refused(format!("nested deeper than {LEVELS_MAX} levels")));
        }
        Ok(Self { level: self.level + 1, ..self })
    }

    /// The place of the content in `{variant: content}`.
    fn variant(mut self, variant: &str) -> Result<Self, Refused> {
        self.kind(Kind::Map);
        self.out.extend_from_slice(&1u64.to_be_bytes());
        self.string(Kind::Text, variant.as_bytes());
        self.deeper()
    }

    fn group(mut self, kind: Kind) -> Result<Group<'a>, Refused> {
        self.kind(kind);
        let Self { out, level } = self.deeper()?;
        let count_at = out.len();
        out.extend_from_slice(&[0; 8]);
        Ok(Group { out, level, count_at })
    }
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Map<'a>;
    type SerializeStructVariant = Map<'a>;

    fn serialize_bool(mut self, v: bool) -> Result<(), Refused> {
        self.kind(if v { Kind::True } else { Kind::False });
        Ok(())
    }

    fn serialize_i8(self, v: i8) -> Result<(), Refused> {
        self.serialize_i128(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), Refused> {
        self.serialize_i128(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), Refused> {
        self.serialize_i128(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), Refused> {
        self.serialize_i128(v.into())
    }

    fn serialize_i128(self, v: i128) -> Result<(), Refused> {
        self.integer(if v < 0 { Kind::Negative } else { Kind::Natural }, v.unsigned_abs())
    }

    fn serialize_u8(self, v: u8) -> Result<(), Refused> {
        self.serialize_u128(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), Refused> {
        self.serialize_u128(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), Refused> {
        self.serialize_u128(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), Refused> {
        self.serialize_u128(v.into())
    }

    fn serialize_u128(self, v: u128) -> Result<(), Refused> {
        self.integer(Kind::Natural, v)
    }

    fn serialize_f32(self, v: f32) -> Result<(), Refused> {
        self.serialize_f64(v.into())
    }

    fn serialize_f64(mut self, v: f64) -> Result<(), Refused> {
        self.kind(Kind::Float);
        let canonical = if v.is_nan() { f64::NAN } else { v + 0.0 }; // -0.0 + 0.0 is 0.0
        self.out.extend_from_slice(&canonical.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Refused> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(mut self, v: &str) -> Result<(), Refused> {
        self.string(Kind::Text, v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(mut self, v: &[u8]) -> Result<(), Refused> {
        self.string(Kind::Bytes, v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        value.serialize(self.deeper()?)
    }

    fn serialize_unit(mut self) -> Result<(), Refused> {
        self.kind(Kind::Null);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Refused> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self.deeper()?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'a>, Refused> {
        Ok(List { group: self.group(Kind::List)?, count: 0 })
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'a>, Refused> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'a>, Refused> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<List<'a>, Refused> {
        self.variant(variant)?.serialize_seq(Some(len))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Map<'a>, Refused> {
        Ok(Map { group: self.group(Kind::Map)?, starts: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Map<'a>, Refused> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Map<'a>, Refused> {
        self.variant(variant)?.serialize_map(Some(len))
    }
}

/// A list or map being written, with room for its count in front.
struct Group<'a> {
    out: &'a mut Vec<u8>,
    level: u32,
    count_at: usize,
}

impl Group<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(Encoder { out: &mut *self.out, level: self.level })
    }

    fn end(self, count: usize) {
        self.out[self.count_at..self.count_at + 8].copy_from_slice(&(count as u64).to_be_bytes());
    }
}

struct List<'a> {
    group: Group<'a>,
    count: usize,
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.count += 1;
        self.group.push(value)
    }

    fn end(self) -> Result<(), Refused> {
        self.group.end(self.count);
        Ok(())
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Refused> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Refused> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleVariant for List<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Refused> {
        ser::SerializeSeq::end(self)
    }
}

/// A map being written; `starts` holds where each pair begins.
struct Map<'a> {
    group: Group<'a>,
    starts: Vec<usize>,
}

impl Map<'_> {
    /// Brings the pairs into the order of their bytes. A key tells its own length, so this sorts by key first.
    fn sort(&mut self) {
        let Some(&first) = self.starts.first() else { return };
        let ends = self.starts.iter().skip(1).copied().chain([self.group.out.len()]);
        let mut pairs: Vec<_> =
            self.starts.iter().zip(ends).map(|(&start, end)| &self.group.out[start..end]).collect();
        if pairs.is_sorted() {
            return;
        }
        pairs.sort_unstable();
        let sorted = pairs.concat();
        self.group.out.truncate(first);
        self.group.out.extend_from_slice(&sorted);
    }
}

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.starts.push(self.group.out.len());
        self.group.push(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.group.push(value)
    }

    fn end(mut self) -> Result<(), Refused> {
        self.sort();
        self.group.end(self.starts.len());
        Ok(())
    }
}

impl ser::SerializeStruct for Map<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        ser::SerializeMap::serialize_entry(self, key, value)
    }

    fn end(self) -> Result<(), Refused> {
        ser::SerializeMap::end(self)
    }
}

impl ser::SerializeStructVariant for Map<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        ser::SerializeMap::serialize_entry(self, key, value)
    }

    fn end(self) -> Result<(), Refused> {
        ser::SerializeMap::end(self)
    }
}
