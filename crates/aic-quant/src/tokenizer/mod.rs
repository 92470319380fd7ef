//! Text to tokens and back, as the model file prescribes.
//!
//! A text is cut in three steps: [`Fixed`] finds control and user-defined tokens, a [`Model`] cuts what lies between, and
//! [`Special`] knows what stands around the whole. Texts come back through the [`Spelling`] of single tokens, so that they
//! can be streamed.
mod bpe;
mod charsmap;
mod fixed;
mod library;
mod merging;
mod normalizer;
mod sentencepiece;
mod special;
mod spelling;
mod stream;
mod unigram;
mod vocabulary;
mod wordpiece;
mod words;

pub(crate) use special::Special;
pub(crate) use stream::TextStream;

use bpe::Bpe;
use fixed::{Fixed, Part};
use library::Library;
use sentencepiece::SentencePiece;
use special::Usual;
use spelling::Spelling;
use unigram::Unigram;
use vocabulary::{Kind, Vocabulary};
use words::Family;

use crate::gguf::{HUGGING_FACE_KEY, Metadata};
use crate::{BoxError, Error, Result};

const MODEL_KEY: &str = "tokenizer.ggml.model";
const PRE_KEY: &str = "tokenizer.ggml.pre";
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
const SCORES_KEY: &str = "tokenizer.ggml.scores";

/// Bytes that the tokenizer described by `metadata` takes for a vocabulary of `count` tokens, about: texts, where they end, what
/// they are for, and what finds tokens by their texts and merges by their parts.
pub(crate) fn bytes(metadata: &Metadata, count: usize) -> Result<u64> {
    /// What the library holds of a token: its text twice, in two tables.
    const LIBRARY: u64 = 200;
    let strings = |key| Ok(metadata.array(key)?.and_then(|array| array.as_strings()));
    let Some(texts) = strings(TOKENS_KEY)? else { return Ok(LIBRARY.saturating_mul(count as u64)) };
    let merges = strings(bpe::MERGES_KEY)?.map_or(0, <[String]>::len);
    // Tables are a power of two, at most seven eighths full, with a byte a place beside what they hold.
    let table = |entries: usize, bytes: u64| (entries as u64 * 8 / 7).next_power_of_two() * (bytes + 1);
    let text: u64 = texts.iter().map(|text| text.len() as u64).sum();
    Ok(text + 9 * texts.len() as u64 + table(texts.len(), 4) + table(merges, 16))
}

/// A way of cutting texts without special tokens.
trait Model: Send + Sync {
    /// Appends the tokens of `text`.
    fn encode(&self, text: &str, vocabulary: &Vocabulary, out: &mut Vec<u32>) -> Result<()>;

    /// How its tokens stand for bytes.
    fn spelling(&self) -> Spelling;
}

/// A model's tokenizer with its special tokens.
pub(crate) struct Tokenizer {
    model: Box<dyn Model>,
    /// `None` where the model finds special tokens itself.
    fixed: Option<Fixed>,
    vocabulary: Vocabulary,
    spelling: Spelling,
    special: Special,
    /// How many tokens the model knows.
    limit: usize,
}

impl Tokenizer {
    /// Builds the tokenizer described by `metadata`, for a model that knows the tokens below `limit`.
    ///
    /// The kinds of tokenizers are those of GGUF files: `gpt2` (byte-level BPE), `gemma4` (BPE of characters), `llama`
    /// (SentencePiece's BPE), `t5` (SentencePiece's unigram model), `bert` (WordPiece), or `tokenizer.json` as a whole.
    pub(crate) fn new(metadata: &Metadata, limit: usize) -> Result<Self> {
        match (metadata.string(MODEL_KEY)?, metadata.string(HUGGING_FACE_KEY)?) {
            (Some(kind), _) => Self::of_kind(kind, metadata, limit),
            (None, Some(json)) => Self::of_library(metadata, Library::from_json(json)?, limit),
            (None, None) => Err(Error::metadata(MODEL_KEY, "is missing")),
        }
    }

    fn of_kind(kind: &str, metadata: &Metadata, limit: usize) -> Result<Self> {
        let mut vocabulary = Vocabulary::new(metadata)?;
        let (model, usual): (Box<dyn Model>, Usual) = match kind {
            "gpt2" => {
                let family = Family::named(metadata.string(PRE_KEY)?)?;
                let usual = Usual { adds_bos: family.adds_bos, ..Usual::default() };
                (Box::new(Bpe::new(metadata, &vocabulary, family)?), usual)
            }
            "gemma4" => (Box::new(Bpe::of_characters(metadata, &vocabulary)?), Usual::GEMMA4),
            "llama" => (Box::new(SentencePiece::new(metadata, &vocabulary)?), Usual::LLAMA),
            "t5" => (Box::new(Unigram::new(metadata, &vocabulary)?), Usual::T5),
            "bert" => (Box::new(wordpiece::build(metadata, &vocabulary)?), Usual::BERT),
            other => return Err(unsupported(other)),
        };
        let special = Special::new(metadata, &mut vocabulary, usual)?;
        let fixed =
            (kind != "bert").then(|| Fixed::new(&vocabulary, swallows_space(metadata, kind)?)).transpose()?;
        Ok(Self { spelling: model.spelling(), model, fixed, vocabulary, special, limit })
    }

    fn of_library(metadata: &Metadata, library: Library, limit: usize) -> Result<Self> {
        let mut vocabulary = library.vocabulary(limit)?;
        let special = Special::new(metadata, &mut vocabulary, library.usual()?)?;
        let spelling = library.spelling();
        Ok(Self { model: Box::new(library), fixed: None, vocabulary, spelling, special, limit })
    }

    /// The tokens that start and end texts.
    pub(crate) fn special(&self) -> &Special {
        &self.special
    }

    /// The tokens of `text`; special tokens written out in it are recognised. Starts with the beginning-of-text token
    /// if the model wants one and the text does not have it already; likewise at the end.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens: Vec<u32> = self.special.prefix().into_iter().collect();
        let start = tokens.len();
        self.encode_parts(text, &mut tokens)?;
        if start > 0 && tokens.get(start) == tokens.first() {
            tokens.remove(0);
        }
        tokens.extend(self.special.suffix().filter(|eos| tokens.last() != Some(eos)));
        match tokens.iter().find(|token| **token as usize >= self.limit) {
            None => Ok(tokens),
            Some(token) => Err(Error::metadata(
                TOKENS_KEY,
                format!("yields token {token}, but the model knows only {} tokens", self.limit),
            )),
        }
    }

    fn encode_parts(&self, text: &str, out: &mut Vec<u32>) -> Result<()> {
        let Some(fixed) = &self.fixed else { return self.model.encode(text, &self.vocabulary, out) };
        fixed.parts(text, &self.vocabulary).into_iter().try_for_each(|part| match part {
            Part::Text(text) => self.model.encode(text, &self.vocabulary, out),
            Part::Token(token) => {
                out.push(token);
                Ok(())
            }
        })
    }

    /// The text of `tokens`, special ones left out; bytes that are part of no character become U+FFFD.
    #[cfg(test)]
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let mut stream = TextStream::default();
        let mut text: String = tokens.iter().map(|token| stream.push(self, *token)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// Whether `token` is a part of texts, not of their structure.
    pub(crate) fn is_text(&self, token: u32) -> bool {
        !matches!(self.vocabulary.kind(token), Kind::Control | Kind::Unknown)
    }

    /// Appends the bytes of `token` as they appear in texts, none for special tokens. `first` says whether a text begins with
    /// it, because some vocabularies put a space before the first word.
    pub(crate) fn write(&self, token: u32, first: bool, out: &mut Vec<u8>) {
        self.spelling.write(&self.vocabulary, token, first, out);
    }
}

/// Whether white space after control tokens is no text. No file says so; as in llama.cpp, the model's name does.
fn swallows_space(metadata: &Metadata, kind: &str) -> Result<bool> {
    let name = metadata.string("general.name")?.unwrap_or_default().to_lowercase();
    Ok(kind == "llama" && (name.contains("phi-3") || name.contains("phi3")))
}

fn failed(action: &'static str) -> impl FnOnce(BoxError) -> Error {
    move |source| Error::Tokenizer { action, source }
}

fn unsupported(name: &str) -> Error {
    Error::Unsupported {
        what: "tokenizer",
        name: name.to_owned(),
        supported: "gpt2 and gemma4 (BPE), llama (SentencePiece), t5 (unigram), bert (WordPiece)",
    }
}

#[cfg(test)]
mod goldens;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gguf::{Array, Value};

    /// A byte-level vocabulary: 256 bytes, a few merges, and three control tokens at the end.
    pub(crate) fn tiny() -> Metadata {
        let mut tokens: Vec<String> = spelling::alphabet().into_iter().map(String::from).collect();
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

    fn tokens(metadata: &Metadata) -> &[String] {
        metadata.array(TOKENS_KEY).unwrap().unwrap().as_strings().unwrap()
    }

    pub(crate) fn tokenizer(metadata: &Metadata) -> Tokenizer {
        Tokenizer::new(metadata, tokens(metadata).len()).unwrap()
    }

    fn token(metadata: &Metadata, text: &str) -> u32 {
        tokens(metadata).iter().position(|token| token == text).unwrap() as u32
    }

    #[test]
    fn merges_are_applied_and_any_text_comes_back() {
        let metadata = tiny();
        let tokenizer = tokenizer(&metadata);

        assert_eq!(tokenizer.encode("hello").unwrap(), [token(&metadata, "hello")]);
        for text in ["hello world", "naïve 漢字 🦀", "tabs\tand\n\nlines", " 12345 "] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
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
        assert_eq!(tokenizer.decode(&tokens), "hello");
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
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
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
