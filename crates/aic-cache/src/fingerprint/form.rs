//! The bytes of a value.
//!
//! ```text
//! value  = Null | False | True
//!        | Natural number | Negative number | Float 8-byte
//!        | 128+length byte…                              a text shorter than 128 bytes
//!        | Text length byte… | Bytes length byte…          shorter than 8 KiB
//!        | LongText 32-byte  | LongBytes 32-byte           their BLAKE3 hash
//!        | List value… End   | Map (value value)… End
//! number, length = base 128, lowest digits first, the high bit set on all bytes but the last
//! ```
//!
//! Each word is one byte, and no value begins with `End`: whoever reads from the left knows at every byte what
//! comes next and where the value ends. So distinct sequences of values never share bytes, and none is the
//! beginning of another; bytes that follow the last value cannot be taken for a part of it.
//!
//! The pairs of a map stand in the order of their lengths, those of one length in the order of their bytes: lengths are
//! quickly compared, and the longest pair, often nearly the whole map, is moved once or not at all.
//!
//! A long string is hashed where it lies rather than copied here and moved about by the sorting of maps; its
//! hash stands for it as the whole fingerprint stands for the value.

use std::ops::Range;

/// From this length on, a string enters by its hash: BLAKE3 hashes eight chunks of 1 KiB side by side.
const LONG: usize = GROUP;
/// What BLAKE3 hashes side by side with AVX2; AVX-512 takes two at a time, NEON and SSE 4.1 halves.
const GROUP: usize = 8 * CHUNK;
const CHUNK: usize = 1024;
/// Added to the length of a text shorter than this many bytes, to say both in one byte.
const SHORT: u8 = 0x80;
/// Bytes over a power of two that cost less than filling up to the next.
const SLACK: usize = 128;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Null,
    False,
    True,
    Natural,
    Negative,
    Float,
    Text,
    Bytes,
    LongText,
    LongBytes,
    List,
    Map,
    End,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Null,
        Self::False,
        Self::True,
        Self::Natural,
        Self::Negative,
        Self::Float,
        Self::Text,
        Self::Bytes,
        Self::LongText,
        Self::LongBytes,
        Self::List,
        Self::Map,
        Self::End,
    ];
}

/// Writes values one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    /// Where the pairs of the maps that are being written lie, those of the innermost map last.
    pairs: Vec<Range<usize>>,
}

impl Writer {
    /// Starts with these bytes.
    pub(super) fn new(start: &[u8]) -> Self {
        let mut out = Vec::with_capacity(4 * CHUNK);
        out.extend_from_slice(start);
        Self { out, pairs: Vec::with_capacity(32) }
    }

    #[inline]
    pub(super) fn kind(&mut self, kind: Kind) {
        self.out.push(kind as u8);
    }

    pub(super) fn integer(&mut self, kind: Kind, mut magnitude: u128) {
        self.kind(kind);
        while magnitude > u64::MAX.into() {
            self.out.push(magnitude as u8 | 0x80);
            magnitude >>= 7;
        }
        self.number(magnitude as u64);
    }

    #[inline]
    fn number(&mut self, mut rest: u64) {
        while rest > 0x7F {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    #[inline]
    pub(super) fn float(&mut self, bits: u64) {
        self.kind(Kind::Float);
        self.out.extend_from_slice(&bits.to_be_bytes());
    }

    #[inline]
    pub(super) fn text(&mut self, content: &str) {
        if content.len() >= SHORT.into() {
            return self.string([Kind::Text, Kind::LongText], content.as_bytes());
        }
        self.out.push(SHORT + content.len() as u8);
        self.out.extend_from_slice(content.as_bytes());
    }

    #[inline]
    pub(super) fn bytes(&mut self, content: &[u8]) {
        self.string([Kind::Bytes, Kind::LongBytes], content);
    }

    #[inline]
    fn string(&mut self, [short, long]: [Kind; 2], content: &[u8]) {
        if content.len() >= LONG {
            self.kind(long);
            return self.out.extend_from_slice(blake3::hash(content).as_bytes());
        }
        self.kind(short);
        self.number(content.len() as u64);
        self.out.extend_from_slice(content);
    }

    /// Begins a map; the answer is to be handed to [`end_map`](Self::end_map).
    #[inline]
    pub(super) fn begin_map(&mut self) -> usize {
        self.kind(Kind::Map);
        self.pairs.len()
    }

    #[inline]
    pub(super) fn begin_pair(&mut self) {
        self.pairs.push(self.out.len()..self.out.len());
    }

    #[inline]
    pub(super) fn end_pair(&mut self) {
        if let Some(pair) = self.pairs.last_mut() {
            pair.end = self.out.len();
        }
    }

    /// Brings the map's pairs into their order and ends it.
    pub(super) fn end_map(&mut self, first: usize) {
        self.sort(first);
        self.pairs.truncate(first);
        self.kind(Kind::End);
    }

    /// All pairs but the longest are written behind the map, and moved into its place when that has been moved.
    fn sort(&mut self, first: usize) {
        let Self { out, pairs } = self;
        let pairs = &mut pairs[first..];
        let order = |a: &Range<usize>, b: &Range<usize>| {
            a.len().cmp(&b.len()).then_with(|| out[a.clone()].cmp(&out[b.clone()]))
        };
        if pairs.is_sorted_by(|a, b| order(a, b).is_le()) {
            return;
        }
        let (start, end) = (pairs[0].start, out.len());
        pairs.sort_unstable_by(order);
        if let Some((longest, others)) = pairs.split_last() {
            others.iter().for_each(|pair| out.extend_from_within(pair.clone()));
            out.copy_within(longest.clone(), end - longest.len());
            out.copy_within(end.., start);
            out.truncate(end);
        }
    }

    /// The bytes written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The bytes written, and zeros that bring what exceeds a multiple of 8 KiB to one, two, four or eight chunks.
    ///
    /// BLAKE3 hashes two or four chunks side by side nearly as fast as one, but three one after the other: 3 KiB
    /// take longer than 4 KiB, and longer than 8 KiB.
    pub(super) fn into_padded(mut self) -> Vec<u8> {
        let rest = self.out.len() % GROUP;
        let full = rest.saturating_sub(SLACK).next_power_of_two();
        if rest > CHUNK && full > rest {
            self.out.resize(self.out.len() - rest + full, 0);
        }
        self.out
    }
}

/// Reads values that a [`Writer`] wrote; from other bytes it panics or makes no sense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// A value that was read.
pub(super) struct Value<'a> {
    /// The bytes of its key, if it is in a map.
    pub(super) key: Option<&'a [u8]>,
    pub(super) bytes: &'a [u8],
    pub(super) item: Item<'a>,
}

/// What a value is made of.
pub(super) enum Item<'a> {
    Leaf,
    List(Values<'a>),
    Map(Values<'a>),
}

/// The values of a list or map.
#[derive(Clone)]
pub(super) struct Values<'a> {
    reader: Reader<'a>,
    is_map: bool,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let key = if self.is_map { Some(self.reader.value()?.bytes) } else { None };
        Some(Value { key, ..self.reader.value()? })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(written: &'a [u8]) -> Self {
        Self(written)
    }

    /// The next value; `None` at the end of the list, map or whole.
    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        let whole = self.0;
        let (&word, rest) = whole.split_first()?;
        self.0 = rest;
        let item = match word {
            SHORT.. => self.skip(usize::from(word - SHORT)),
            _ => self.item(Kind::ALL[usize::from(word)])?,
        };
        Some(Value { key: None, bytes: &whole[..whole.len() - self.0.len()], item })
    }

    fn item(&mut self, kind: Kind) -> Option<Item<'a>> {
        Some(match kind {
            Kind::End => return None,
            Kind::Null | Kind::False | Kind::True => Item::Leaf,
            Kind::Natural | Kind::Negative => self.skip_number(),
            Kind::Float => self.skip(8),
            Kind::LongText | Kind::LongBytes => self.skip(32),
            Kind::Text | Kind::Bytes => {
                let length = self.length();
                self.skip(length)
            }
            Kind::List => Item::List(self.skip_group(false)),
            Kind::Map => Item::Map(self.skip_group(true)),
        })
    }

    /// The text that these bytes of a value are, if it is shorter than 128 bytes.
    pub(super) fn short_text(value: &'a [u8]) -> Option<&'a str> {
        let (&word, text) = value.split_first()?;
        if word < SHORT { None } else { std::str::from_utf8(text).ok() }
    }

    fn skip(&mut self, length: usize) -> Item<'a> {
        self.0 = &self.0[length..];
        Item::Leaf
    }

    fn skip_number(&mut self) -> Item<'a> {
        let more = self.0.iter().take_while(|&&byte| byte > 0x7F).count();
        self.skip(more + 1)
    }

    fn skip_group(&mut self, is_map: bool) -> Values<'a> {
        let reader = *self;
        while self.value().is_some() {}
        Values { reader, is_map }
    }

    fn length(&mut self) -> usize {
        let digits = self.0;
        self.skip_number();
        let digits = &digits[..digits.len() - self.0.len()];
        digits.iter().rev().fold(0, |number, digit| number << 7 | usize::from(digit & 0x7F))
    }
}
