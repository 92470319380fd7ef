use crate::gguf::{Array, Metadata};
use crate::{Error, Result};

const CHARSMAP_KEY: &str = "tokenizer.ggml.precompiled_charsmap";

/// SentencePiece's table of replacements, such as ﬁ → fi.
///
/// The table's bytes: the length of a trie in bytes (u32), the trie, and the replacements, each ended by a zero. The trie
/// is a double array as [Darts-clone](https://github.com/s-yata/darts-clone) writes it: from a unit, the byte read and the
/// unit's offset lead to the next unit, which holds the byte again if it is a child.
pub(super) struct Charsmap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl Charsmap {
    /// The table in `metadata`, if it has one.
    pub(super) fn of(metadata: &Metadata) -> Result<Option<Self>> {
        let wrong = |problem| Error::metadata(CHARSMAP_KEY, problem);
        match metadata.array(CHARSMAP_KEY)? {
            None => Ok(None),
            Some(Array::U8(bytes)) => {
                Self::new(bytes).map(Some).ok_or_else(|| wrong("is no table of replacements"))
            }
            Some(Array::I8(bytes)) => {
                let bytes: Vec<u8> = bytes.iter().map(|byte| byte.cast_unsigned()).collect();
                Self::new(&bytes).map(Some).ok_or_else(|| wrong("is no table of replacements"))
            }
            Some(_) => Err(wrong("is not an array of bytes")),
        }
    }

    fn new(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (units, rest) = trie.as_chunks();
        let whole = rest.is_empty() && !units.is_empty() && replacements.last().is_none_or(|last| *last == 0);
        let units = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        whole.then(|| Self { units, replacements: replacements.to_vec() })
    }

    /// `text` with each part replaced, the longest that the table knows first.
    pub(super) fn map(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let found = self.longest(rest.as_bytes()).and_then(|(length, at)| {
                let (_, rest) = rest.split_at_checked(length)?;
                Some((self.replacement(at)?, rest))
            });
            if let Some((replacement, after)) = found {
                out.push_str(replacement);
                rest = after;
            } else {
                out.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        out
    }

    /// How much of the start of `text` the table knows, and where its replacement is.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut longest = None;
        let mut at = offset(*self.units.first()?);
        // A zero would be mistaken for the end of a key.
        for (index, byte) in text.iter().take_while(|byte| **byte != 0).enumerate() {
            at ^= usize::from(*byte);
            let Some(unit) = self.units.get(at).filter(|unit| label(**unit) == u32::from(*byte)) else {
                break;
            };
            at ^= offset(*unit);
            if has_leaf(*unit) {
                longest = self.units.get(at).map(|leaf| (index + 1, value(*leaf))).or(longest);
            }
        }
        longest
    }

    fn replacement(&self, at: usize) -> Option<&str> {
        let from = self.replacements.get(at..)?;
        let end = from.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&from[..end]).ok()
    }
}

/// The bits of a unit: 31 marks a value, 0–7 are the byte, 8 says that a value follows, 9 that the offset of bits 10 on
/// counts in 256.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xFF)
}

fn has_leaf(unit: u32) -> bool {
    unit & 1 << 8 != 0
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & 1 << 9) >> 6)
}

fn value(unit: u32) -> usize {
    (unit & !(1 << 31)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that replaces `a` by `bc`: the root's offset is 2, so `a` leads to unit 2 ^ 97 = 99.
    fn table() -> Vec<u8> {
        let mut units = vec![0_u32; 128];
        units[0] = 2 << 10;
        units[99] = u32::from(b'a') | 1 << 8 | 4 << 10;
        units[99 ^ 4] = 1 << 31 | 1;
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        [&(bytes.len() as u32).to_le_bytes()[..], &bytes, b"\0bc\0"].concat()
    }

    #[test]
    fn parts_that_the_table_knows_are_replaced() {
        assert_eq!(Charsmap::new(&table()).unwrap().map("xaé\0a"), "xbcé\0bc");
    }

    #[test]
    fn table_cut_short_is_refused() {
        let table = table();
        for length in 0..table.len() - 4 {
            assert!(Charsmap::new(&table[..length]).is_none(), "{length}");
        }
        assert!(Charsmap::new(&table[..table.len() - 1]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_table_maps_any_text(units in proptest::collection::vec(proptest::num::u32::ANY, 1..400), at in 0..400_usize, text: String) {
            let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
            bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            bytes.extend([b"ab\0\xFF\0".as_slice(), &[0; 4]].concat());
            let mut charsmap = Charsmap::new(&bytes).unwrap();
            let first = usize::from(text.bytes().next().unwrap_or_default());
            // A root that leads somewhere, so that there is something to follow.
            charsmap.units[0] = (at as u32) << 10;
            if let Some(unit) = charsmap.units.get_mut(at ^ first) {
                *unit = *unit & !(1 << 31 | 0xFF) | first as u32 | 1 << 8;
            }
            charsmap.map(&text);
        }
    }
}
