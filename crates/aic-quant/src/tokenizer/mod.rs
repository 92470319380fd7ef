//! Text to tokens and back, as the model file prescribes.
mod bpe;
mod sentencepiece;
mod special;
mod stream;

use tokenizers::Tokenizer as Inner;

pub(crate) use special::Special;
pub(crate) use stream::TextStream;

use crate::gguf::{HUGGING_FACE_KEY, Metadata};
use crate::{BoxError, Error, Result};

const MODEL_KEY: &str = "tokenizer.ggml.model";
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";

/// A model's tokenizer with its special tokens.
pub(crate) struct Tokenizer {
    inner: Inner,
    special: Special,
    vocabulary: usize,
}

impl Tokenizer {
    /// Builds the tokenizer described by `metadata`, for a model that knows the tokens below `vocabulary`.
    pub(crate) fn new(metadata: &Metadata, vocabulary: usize) -> Result<Self> {
        let inner = match (metadata.string(MODEL_KEY)?, metadata.string(HUGGING_FACE_KEY)?) {
            (Some("gpt2"), _) => bpe::build(metadata)?,
            (Some("llama"), _) => sentencepiece::build(metadata)?,
            (None, Some(json)) => Inner::from_bytes(json).map_err(failed("read tokenizer.json"))?,
            (Some(other), _) => return Err(unsupported(other)),
            (None, None) => return Err(Error::metadata(MODEL_KEY, "is missing")),
        };
        let special = Special::new(metadata, &inner)?;
        Ok(Self { inner, special, vocabulary })
    }

    /// The tokens that start and end texts.
    pub(crate) fn special(&self) -> &Special {
        &self.special
    }

    /// The tokens of `text`; special tokens written out in it are recognised. Starts with the beginning-of-text token
    /// if the model wants one and the text does not have it already.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed("encode text"))?;
        let mut tokens = encoding.get_ids().to_vec();
        if let Some(bos) = self.special.prefix().filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        match tokens.iter().find(|token| **token as usize >= self.vocabulary) {
            None => Ok(tokens),
            Some(token) => Err(Error::metadata(
                TOKENS_KEY,
                format!("yields token {token}, but the model knows only {} tokens", self.vocabulary),
            )),
        }
    }

    pub(crate) fn is_text(&self, token: u32) -> bool {
        self.inner.id_to_token(token).is_some() && !self.decode(&[token]).unwrap_or_default().is_empty()
    }

    pub(crate) fn write(&self, token: u32, _first: bool, out: &mut Vec<u8>) {
        out.extend(self.decode(&[token]).unwrap_or_default().into_bytes());
    }

    /// The text of `tokens`, special ones left out.
    pub(crate) fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, true).map_err(failed("decode tokens"))
    }
}

/// The token list, checked to be one.
fn tokens(metadata: &Metadata) -> Result<&[String]> {
    let tokens = metadata.array(TOKENS_KEY)?.ok_or_else(|| Error::metadata(TOKENS_KEY, "is missing"))?;
    tokens.as_strings().ok_or_else(|| Error::metadata(TOKENS_KEY, "is not an array of strings"))
}

fn failed(action: &'static str) -> impl FnOnce(BoxError) -> Error {
    move |source| Error::Tokenizer { action, source }
}

fn unsupported(name: &str) -> Error {
    Error::Unsupported {
        what: "tokenizer",
        name: name.to_owned(),
        supported: "gpt2 (byte-level BPE) and llama (SentencePiece)",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gguf::{Array, Value};

    /// A byte-level vocabulary: 256 bytes, a few merges, and three control tokens at the end.
    pub(crate) fn tiny() -> Metadata {
        let mut tokens: Vec<String> = bpe::byte_alphabet().map(String::from).collect();
        let merges = ["h e", "l l", "he ll", "hell o", "Ġ w"];
        tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
        let mut types = vec![1_i32; tokens.len()];
        for control in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] {
            tokens.push(control.to_owned());
            types.push(3);
        }
        let end = tokens.len() as u32 - 1;
        let mut metadata = Metadata::new();
        metadata.insert(MODEL_KEY, "gpt2");
        metadata.insert("tokenizer.ggml.pre", "qwen2");
        metadata.insert("tokenizer.ggml.merges", merges.map(str::to_owned).to_vec());
        metadata.insert("tokenizer.ggml.token_type", types);
        metadata.insert("tokenizer.ggml.eos_token_id", end);
        metadata.insert("tokenizer.ggml.bos_token_id", end - 2);
        metadata.insert(TOKENS_KEY, tokens);
        metadata
    }

    pub(crate) fn tokenizer(metadata: &Metadata) -> Tokenizer {
        Tokenizer::new(metadata, tokens(metadata).unwrap().len()).unwrap()
    }

    fn token(metadata: &Metadata, text: &str) -> u32 {
        tokens(metadata).unwrap().iter().position(|token| token == text).unwrap() as u32
    }

    #[test]
    fn merges_are_applied_and_any_text_comes_back() {
        let metadata = tiny();
        let tokenizer = tokenizer(&metadata);

        assert_eq!(tokenizer.encode("hello").unwrap(), [token(&metadata, "hello")]);
        for text in ["hello world", "naïve 漢字 🦀", "tabs\tand\n\nlines", " 12345 "] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn digits_are_split_as_the_pre_tokenizer_says() {
        let mut metadata = tiny();
        let Some(Value::Array(Array::String(mut tokens))) = metadata.remove(TOKENS_KEY) else {
            unreachable!()
        };
        tokens.insert(261, "12".to_owned());
        metadata.insert("tokenizer.ggml.token_type", vec![1_i32; tokens.len()]);
        metadata.insert(TOKENS_KEY, tokens);
        metadata.insert("tokenizer.ggml.merges", vec!["1 2".to_owned()]);

        assert_eq!(tokenizer(&metadata).encode("12").unwrap().len(), 2);
        metadata.insert("tokenizer.ggml.pre", "llama-bpe");
        assert_eq!(tokenizer(&metadata).encode("12").unwrap().len(), 1);
    }

    #[test]
    fn control_tokens_are_recognised_in_text_and_left_out_of_it() {
        let metadata = tiny();
        let tokenizer = tokenizer(&metadata);

        let tokens = tokenizer.encode("<|im_start|>hello<|im_end|>").unwrap();

        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens[2], token(&metadata, "<|im_end|>"));
        assert_eq!(tokenizer.decode(&tokens).unwrap(), "hello");
    }

    #[test]
    fn beginning_token_is_added_once_if_the_model_wants_it() {
        let mut metadata = tiny();
        metadata.insert("tokenizer.ggml.add_bos_token", true);
        let bos = token(&metadata, "<|endoftext|>");
        let tokenizer = tokenizer(&metadata);

        assert_eq!(tokenizer.encode("hello").unwrap(), [bos, token(&metadata, "hello")]);
        assert_eq!(tokenizer.encode("<|endoftext|>hello").unwrap(), [bos, token(&metadata, "hello")]);
    }

    #[test]
    fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        let mut types = vec![2_i32, 3, 3];
        tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        types.extend([6; 256]);
        for piece in ["▁", "a", "b", "ab", "▁ab"] {
            tokens.push(piece.to_owned());
            types.push(1);
        }
        let scores: Vec<f32> = (0..tokens.len()).map(|i| -(i as f32)).collect();
        let mut metadata = Metadata::new();
        metadata.insert(MODEL_KEY, "llama");
        metadata.insert("tokenizer.ggml.scores", scores);
        metadata.insert("tokenizer.ggml.token_type", types);
        metadata.insert("tokenizer.ggml.bos_token_id", 1_u32);
        metadata.insert("tokenizer.ggml.eos_token_id", 2_u32);
        metadata.insert(TOKENS_KEY, tokens);
        let tokenizer = tokenizer(&metadata);

        assert_eq!(tokenizer.encode("ab").unwrap(), [1, token(&metadata, "▁ab")]);
        for text in ["ab ab", "ab é 🦀"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn broken_vocabularies_are_typed_errors() {
        let broken: [(&str, Value); 5] = [
            (MODEL_KEY, "rwkv".into()),
            (TOKENS_KEY, vec![1_u32].into()),
            ("tokenizer.ggml.merges", vec!["q Q".to_owned()].into()),
            ("tokenizer.ggml.merges", vec!["unseparated".to_owned()].into()),
            ("tokenizer.ggml.eos_token_id", 1_000_000_u32.into()),
        ];
        for (key, value) in broken {
            let mut metadata = tiny();
            metadata.insert(key, value);
            assert!(Tokenizer::new(&metadata, 264).is_err(), "{key}");
        }
    }
}
