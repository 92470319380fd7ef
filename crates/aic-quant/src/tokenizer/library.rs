use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

use super::special::Usual;
use super::spelling::Spelling;
use super::vocabulary::{Kind, Vocabulary, byte};
use super::{Model, failed};
use crate::{Error, Result};

/// A tokenizer of the `tokenizers` library, which finds special tokens itself.
pub(super) struct Library {
    tokenizer: Tokenizer,
    spelling: Spelling,
}

impl Library {
    pub(super) fn new(tokenizer: Tokenizer, spelling: Spelling) -> Self {
        Self { tokenizer, spelling }
    }

    /// Reads `tokenizer.json`. What it says about lengths does not count: a text is never cut or filled up.
    pub(super) fn from_json(json: &str) -> Result<Self> {
        let mut tokenizer: Tokenizer = json.parse().map_err(failed("read tokenizer.json"))?;
        tokenizer.with_truncation(None).map_err(failed("read tokenizer.json"))?;
        tokenizer.with_padding(None);
        let spelling = spelling(tokenizer.get_decoder())?;
        Ok(Self { tokenizer, spelling })
    }

    /// The first `count` tokens.
    pub(super) fn vocabulary(&self, count: usize) -> Result<Vocabulary> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let has_bytes = matches!(self.spelling, Spelling::Spaces { .. });
        let tokens = (0..count as u32).map(|token| {
            let text = self.tokenizer.id_to_token(token);
            let kind = match (added.get(&token), &text) {
                (_, None) => Kind::Unknown,
                (Some(added), _) if added.special => Kind::Control,
                (Some(_), _) => Kind::UserDefined,
                (None, Some(text)) if has_bytes && byte(text).is_some() => Kind::Byte,
                (None, Some(_)) => Kind::Ordinary,
            };
            (text.unwrap_or_default(), kind)
        });
        Vocabulary::from_tokens(tokens)
    }

    /// What the tokenizer puts before and after a text, seen from an example.
    pub(super) fn usual(&self) -> Result<Usual> {
        let (bare, framed) = (self.example(false)?, self.example(true)?);
        let at = framed.windows(bare.len().max(1)).position(|window| window == bare).unwrap_or(0);
        let after = (at + bare.len()).min(framed.len());
        let (bos, eos) = (framed[..at].first().copied(), framed[after..].last().copied());
        Ok(Usual { bos, eos, adds_bos: bos.is_some(), adds_eos: eos.is_some() })
    }

    fn example(&self, framed: bool) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast("a", framed).map_err(failed("encode text"))?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl Model for Library {
    fn encode(&self, text: &str, _: &Vocabulary, out: &mut Vec<u32>) -> Result<()> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(failed("encode text"))?;
        out.extend(encoding.get_ids());
        Ok(())
    }

    fn spelling(&self) -> Spelling {
        self.spelling.clone()
    }
}

/// What a decoder makes of single tokens. Without one, they are words.
fn spelling(decoder: Option<&DecoderWrapper>) -> Result<Spelling> {
    let mut steps = Vec::new();
    decoder.into_iter().for_each(|decoder| flatten(decoder, &mut steps));
    let mut spelling = Spelling::Words { continuation: String::new() };
    let mut strips_first = false;
    for step in steps {
        match step {
            DecoderWrapper::ByteLevel(_) => return Ok(Spelling::Bytes),
            DecoderWrapper::WordPiece(words) => {
                spelling = Spelling::Words { continuation: words.prefix.clone() }
            }
            DecoderWrapper::Strip(strip) => strips_first |= strip.content == ' ' && strip.start > 0,
            DecoderWrapper::Metaspace(spaces) => {
                strips_first |= spaces.prepend_scheme != PrependScheme::Never;
                spelling = Spelling::Spaces { strips_first };
            }
            DecoderWrapper::Replace(_) | DecoderWrapper::ByteFallback(_) => {
                spelling = Spelling::Spaces { strips_first }
            }
            DecoderWrapper::Fuse(_) | DecoderWrapper::Sequence(_) => {}
            DecoderWrapper::BPE(_) => return Err(unsupported("BPEDecoder")),
            DecoderWrapper::CTC(_) => return Err(unsupported("CTC")),
        }
    }
    if let Spelling::Spaces { strips_first: strips } = &mut spelling {
        *strips = strips_first;
    }
    Ok(spelling)
}

fn flatten<'a>(decoder: &'a DecoderWrapper, steps: &mut Vec<&'a DecoderWrapper>) {
    match decoder {
        DecoderWrapper::Sequence(sequence) => {
            sequence.get_decoders().iter().for_each(|decoder| flatten(decoder, steps));
        }
        step => steps.push(step),
    }
}

fn unsupported(name: &str) -> Error {
    Error::Unsupported {
        what: "decoder of tokenizer.json",
        name: name.to_owned(),
        supported: "ByteLevel, ByteFallback, Metaspace, WordPiece",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(decoder: &str, rest: &str) -> String {
        format!(
            r#"{{"version": "1.0", "added_tokens": [], "decoder": {decoder}, "pre_tokenizer": {{"type": "Whitespace"}},
            "model": {{"type": "WordLevel", "unk_token": "?", "vocab": {{"?": 0, "a": 1, "b": 2, "[S]": 3, "[E]": 4}}}}{rest}}}"#
        )
    }

    #[test]
    fn spelling_is_read_from_the_decoder() {
        let of = |decoder| Library::from_json(&json(decoder, "")).map(|library| library.spelling);
        let byte_level =
            r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;
        let llama = r#"{"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#;
        let t5 = r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#;

        assert_eq!(of(byte_level).unwrap(), Spelling::Bytes);
        assert_eq!(of(llama).unwrap(), Spelling::Spaces { strips_first: true });
        assert_eq!(of(t5).unwrap(), Spelling::Spaces { strips_first: true });
        assert_eq!(of("null").unwrap(), Spelling::Words { continuation: String::new() });
        assert!(matches!(of(r#"{"type": "BPEDecoder", "suffix": "</w>"}"#), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn frame_is_what_the_tokenizer_puts_around_a_text() {
        let template = r#", "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[S]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[E]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[S]": {"id": "[S]", "ids": [3], "tokens": ["[S]"]},
                "[E]": {"id": "[E]", "ids": [4], "tokens": ["[E]"]}}}"#;
        let usual = |rest| Library::from_json(&json("null", rest)).unwrap().usual().unwrap();

        let both = Usual { bos: Some(3), eos: Some(4), adds_bos: true, adds_eos: true };
        assert_eq!(usual(template), both);
        assert_eq!(usual(""), Usual::default());
    }
}
