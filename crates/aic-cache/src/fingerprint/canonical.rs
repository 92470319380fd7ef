//! What `serde` says of a value, in the one form that the documentation of `Fingerprint` states.

use std::fmt;

use serde::{
    Serialize,
    ser::{self, Serializer},
};

use super::{
    form::{Kind, Writer},
    number::Number,
    text::composed,
};

const LEVELS_MAX: u32 = 128;

/// Writes the canonical bytes of `value`.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Writer) -> Result<(), Refused> {
    value.serialize(Encoder { out, level: 0 })
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

struct Encoder<'a> {
    out: &'a mut Writer,
    level: u32,
}

impl<'a> Encoder<'a> {
    fn kind(self, kind: Kind) -> Result<(), Refused> {
        self.out.kind(kind);
        Ok(())
    }

    fn number(self, number: Number) -> Result<(), Refused> {
        match number {
            Number::Natural(magnitude) => self.out.integer(Kind::Natural, magnitude),
            Number::Negative(magnitude) => self.out.integer(Kind::Negative, magnitude),
            Number::Float(bits) => self.out.float(bits),
        }
        Ok(())
    }

    /// The same place, one level deeper.
    fn deeper(self) -> Result<Self, Refused> {
        if self.level == LEVELS_MAX {
            return Err(Refused(format!("nested deeper than {LEVELS_MAX} levels")));
        }
        Ok(Self { level: self.level + 1, ..self })
    }

    /// Writes one value of the list or map that this place is in.
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(Encoder { out: &mut *self.out, level: self.level })
    }

    fn list(self) -> Result<List<'a>, Refused> {
        let inside = self.deeper()?;
        inside.out.kind(Kind::List);
        Ok(List { inside, is_variant: false })
    }

    fn map(self) -> Result<Map<'a>, Refused> {
        let inside = self.deeper()?;
        let first = inside.out.begin_map();
        Ok(Map { inside, first, is_variant: false })
    }

    /// The place of the content in `{variant: content}`.
    fn variant(self, variant: &str) -> Result<Self, Refused> {
        let inside = self.deeper()?;
        inside.out.kind(Kind::Map);
        inside.out.text(&composed(variant));
        Ok(inside)
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

    fn serialize_bool(self, v: bool) -> Result<(), Refused> {
        self.kind(if v { Kind::True } else { Kind::False })
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
        let magnitude = v.unsigned_abs();
        self.number(if v < 0 { Number::Negative(magnitude) } else { Number::Natural(magnitude) })
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
        self.number(Number::Natural(v))
    }

    fn serialize_f32(self, v: f32) -> Result<(), Refused> {
        self.number(v.into())
    }

    fn serialize_f64(self, v: f64) -> Result<(), Refused> {
        self.number(v.into())
    }

    fn serialize_char(self, v: char) -> Result<(), Refused> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), Refused> {
        self.out.text(&composed(v));
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Refused> {
        self.out.bytes(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        value.serialize(self.deeper()?)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.kind(Kind::Null)
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
        let mut inside = self.variant(variant)?;
        inside.push(value)?;
        inside.kind(Kind::End)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'a>, Refused> {
        self.list()
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
        let list = self.variant(variant)?.serialize_seq(Some(len))?;
        Ok(List { is_variant: true, ..list })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Map<'a>, Refused> {
        self.map()
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
        let map = self.variant(variant)?.serialize_map(Some(len))?;
        Ok(Map { is_variant: true, ..map })
    }
}

/// A list being written.
struct List<'a> {
    inside: Encoder<'a>,
    /// Whether it is the content of a variant, whose map ends with it.
    is_variant: bool,
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.inside.push(value)
    }

    fn end(self) -> Result<(), Refused> {
        self.inside.out.kind(Kind::End);
        if self.is_variant { self.inside.kind(Kind::End) } else { Ok(()) }
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

/// A map being written.
struct Map<'a> {
    inside: Encoder<'a>,
    /// What `begin_map` answered.
    first: usize,
    /// Whether it is the content of a variant, whose map ends with it.
    is_variant: bool,
}

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.inside.out.begin_pair();
        self.inside.push(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.inside.push(value)?;
        self.inside.out.end_pair();
        Ok(())
    }

    fn end(self) -> Result<(), Refused> {
        self.inside.out.end_map(self.first);
        if self.is_variant { self.inside.kind(Kind::End) } else { Ok(()) }
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
