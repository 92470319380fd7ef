use std::ops::ControlFlow;
use std::path::Path;

use tokenizers::Tokenizer;

use super::folder::{Folder, failed};
use super::generate::{Config, Decoder, Hypothesis, OneOrMany, Rules, Search, Settings, State};
use super::{Session, SessionOptions, Tensor};
use crate::{Error, Result};

/// Most beams: more cost in proportion, and find worse translations.
const MAX_BEAMS: usize = 64;

/// A model that makes a text of a text, such as NLLB, M2M100, OPUS-MT (Marian), mBART-50, T5 and their like.
///
/// It is a folder as Hugging Face's `optimum` exports it: `encoder_model.onnx`, `decoder_model_merged.onnx` or `decoder_model.onnx`
/// with `decoder_with_past_model.onnx`, `config.json`, `generation_config.json` and `tokenizer.json`; the models may lie in its
/// folder `onnx`.
///
/// ```no_run
/// use aic_quant::onnx::{TranslateOptions, Translator};
///
/// let translator = Translator::open("nllb-200-distilled-600M-onnx")?;
/// let options = TranslateOptions::new().source("eng_Latn").target("deu_Latn");
/// for translation in translator.translate(&["Where is the station?"], &options)? {
///     println!("{}", translation.text);
/// }
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Translator {
    encoder: Session,
    decoder: Decoder,
    config: Config,
    tokenizer: Tokenizer,
}

/// How texts are translated. What is not set is as the model's `generation_config.json` has it.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct TranslateOptions {
    source: Option<String>,
    target: Option<String>,
    beams: Option<usize>,
    length_penalty: Option<f32>,
    unrepeated: Option<usize>,
    max_tokens: Option<usize>,
    batch: Option<usize>,
}

/// A text that was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Translation {
    /// The text.
    pub text: String,
    /// Its tokens, the start's and the end's among them.
    pub tokens: Vec<u32>,
    /// The logarithm of its probability, divided by its tokens to the power of the length penalty.
    pub score: f32,
}

impl Translator {
    /// Loads the model in the folder `path` with the default [`SessionOptions`].
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, &SessionOptions::new())
    }

    /// Loads the model in the folder `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing or cannot be read; [`Error::NotAModel`] if the decoder has no cache;
    /// [`Error::Malformed`], [`Error::Metadata`] and [`Error::Tokenizer`] if a file is not what it should be;
    /// those of [`SessionOptions::open`].
    pub fn with_options(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self> {
        let folder = Folder::open(path.as_ref())?;
        Ok(Self {
            config: Config::read(&folder)?,
            tokenizer: folder.tokenizer()?,
            encoder: folder.session("encoder_model.onnx", options)?,
            decoder: Decoder::open(&folder, options)?,
        })
    }

    /// Translates `texts`, a batch at a time. The translations come in their order.
    ///
    /// # Errors
    /// As [`translate_streaming`](Self::translate_streaming).
    pub fn translate<T: AsRef<str>>(
        &self,
        texts: &[T],
        options: &TranslateOptions,
    ) -> Result<Vec<Translation>> {
        self.translate_streaming(texts, options, |_, _| ControlFlow::Continue(()))
    }

    /// Translates `texts`, and tells `on_token` the index of a text and each token of its translation: while it grows with one
    /// beam, and with more when it is finished. `on_token` can stop everything.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of its range or a language is none of the model's; [`Error::PromptTooLong`] if a text
    /// has more tokens than the model has positions; [`Error::Stopped`] if `on_token` breaks; those of [`Session::run`].
    pub fn translate_streaming<T: AsRef<str>>(
        &self,
        texts: &[T],
        options: &TranslateOptions,
        mut on_token: impl FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Translation>> {
        let settings = self.settings(options)?;
        let source = options.source.as_deref().map(|name| self.language("source", name)).transpose()?;
        let batch = options.batch.unwrap_or(8).max(1);
        let mut all = Vec::with_capacity(texts.len());
        for (index, texts) in texts.chunks(batch).enumerate() {
            let ids: Vec<Vec<u32>> =
                texts.iter().map(|text| self.encode(text.as_ref(), source)).collect::<Result<_>>()?;
            let mut on_token = |text, token| on_token(index * batch + text, token);
            let found = self.search(&ids, &settings, &mut on_token)?;
            all.extend(found.into_iter().map(|found| self.translation(found)).collect::<Result<Vec<_>>>()?);
        }
        Ok(all)
    }

    fn search(
        &self,
        ids: &[Vec<u32>],
        settings: &Settings,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Hypothesis>> {
        let prompt = [self.config.start()?];
        let count = ids.len();
        let (ids, mask) = padded(ids, self.config.pad_token_id.unwrap_or(0));
        let outputs = self.encoder.run([&ids, &mask])?;
        let state = State::new(outputs, Some(mask), count)?;
        Search { decoder: &self.decoder, prompt: &prompt, settings }.run(state, on_token)
    }

    /// The tokens of a text. With a language they are its token, the text and the end; without, what the tokenizer makes of it.
    fn encode(&self, text: &str, source: Option<u32>) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, source.is_none()).map_err(failed("encode text"))?;
        let mut ids = encoding.get_ids().to_vec();
        if let Some(source) = source {
            ids.insert(0, source);
            ids.extend(self.config.ends()?.first());
        }
        let limit = self.config.max_position_embeddings.unwrap_or(usize::MAX);
        match ids.len() {
            0 => Err(Error::Empty { what: "text" }),
            tokens if tokens > limit => Err(Error::PromptTooLong { tokens, limit }),
            _ => Ok(ids),
        }
    }

    fn translation(&self, found: Hypothesis) -> Result<Translation> {
        let text = self.tokenizer.decode(&found.tokens, true).map_err(failed("decode tokens"))?;
        Ok(Translation { text, tokens: found.tokens, score: found.score })
    }

    fn settings(&self, options: &TranslateOptions) -> Result<Settings> {
        let config = &self.config;
        let beams = options.beams.or(config.num_beams).unwrap_or(1);
        if !(1..=MAX_BEAMS).contains(&beams) {
            return Err(Error::Option { option: "beams", value: beams.to_string(), expected: "1 to 64" });
        }
        let length_penalty = options.length_penalty.or(config.length_penalty).unwrap_or(1.0);
        if !length_penalty.is_finite() {
            let value = length_penalty.to_string();
            return Err(Error::Option { option: "length_penalty", value, expected: "a finite number" });
        }
        let forced = options.target.as_deref().map(|name| self.language("target", name)).transpose()?;
        let rules = Rules {
            forced_first: forced.or(config.forced_bos_token_id),
            forced_last: config.forced_eos_token_id.as_ref().map(OneOrMany::to_vec).unwrap_or_default(),
            forbidden: config.bad_words_ids.clone().unwrap_or_default(),
            unrepeated: options.unrepeated.or(config.no_repeat_ngram_size).unwrap_or(0),
            suppressed: tokens(config.suppress_tokens.as_deref()),
            suppressed_first: tokens(config.begin_suppress_tokens.as_deref()),
            renormalized: config.renormalize_logits.unwrap_or(false),
            timestamps: None,
        };
        let (max_length, ends) = (self.max_length(options)?, config.ends()?);
        Ok(Settings { beams, length_penalty, patience: config.patience(), max_length, ends, rules })
    }

    /// The most tokens of a translation, its start among them.
    fn max_length(&self, options: &TranslateOptions) -> Result<usize> {
        let positions = self.config.max_position_embeddings.unwrap_or(usize::MAX);
        let wanted =
            options.max_tokens.map_or(self.config.max_length, |tokens| Some(tokens.saturating_add(1)));
        let length = wanted.unwrap_or(256).min(positions);
        if length < 2 {
            let value = length.saturating_sub(1).to_string();
            return Err(Error::Option { option: "max_tokens", value, expected: "at least 1" });
        }
        Ok(length)
    }

    /// The token of a language: its name, or its name as M2M100 (`__de__`) and mBART write it.
    fn language(&self, option: &'static str, name: &str) -> Result<u32> {
        let token =
            self.tokenizer.token_to_id(name).or_else(|| self.tokenizer.token_to_id(&format!("__{name}__")));
        token.ok_or_else(|| Error::Option {
            option,
            value: format!("`{name}`"),
            expected: "a language token of the model's tokenizer, such as deu_Latn (NLLB), de (M2M100) or de_DE (mBART); models of one pair of languages need none",
        })
    }
}

impl TranslateOptions {
    /// The defaults that each setter states.
    pub fn new() -> Self {
        Self::default()
    }

    /// The language of the texts, for models of many: `eng_Latn` for NLLB, `en` for M2M100.
    ///
    /// Defaults to none: the tokens are what the tokenizer's own template makes of a text.
    pub fn source(mut self, language: impl Into<String>) -> Self {
        self.source = Some(language.into());
        self
    }

    /// The language to translate to, for models of many.
    ///
    /// Defaults to the model's: its `forced_bos_token_id`, if it has one.
    pub fn target(mut self, language: impl Into<String>) -> Self {
        self.target = Some(language.into());
        self
    }

    /// Beams of the search, 1 to 64; 1 takes the likeliest token each time. The cache of keys and values has a row for each.
    ///
    /// Defaults to the model's, else 1.
    pub fn beams(mut self, beams: usize) -> Self {
        self.beams = Some(beams);
        self
    }

    /// The power of its length that an answer's log probability is divided by; more than 0 prefers long answers. Only with beams.
    ///
    /// Defaults to the model's, else 1.
    pub fn length_penalty(mut self, penalty: f32) -> Self {
        self.length_penalty = Some(penalty);
        self
    }

    /// How many tokens do not come twice in the same order; 0 for no such rule.
    ///
    /// Defaults to the model's, else 0.
    pub fn no_repeat_ngram(mut self, tokens: usize) -> Self {
        self.unrepeated = Some(tokens);
        self
    }

    /// Most tokens of a translation, the start not counted; never more than the model has positions.
    ///
    /// Defaults to the model's, else 255.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Texts that are translated together. The memory of a run grows with texts times beams.
    ///
    /// Defaults to 8.
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = Some(texts);
        self
    }
}

/// The ids of a batch filled up to the longest, and which are no filling.
pub(super) fn padded(ids: &[Vec<u32>], pad: u32) -> (Tensor, Tensor) {
    let width = ids.iter().map(Vec::len).max().unwrap_or(0);
    let (mut all, mut mask) = (Vec::with_capacity(ids.len() * width), Vec::with_capacity(ids.len() * width));
    for row in ids {
        all.extend(
            row.iter().map(|id| i64::from(*id)).chain(std::iter::repeat_n(i64::from(pad), width - row.len())),
        );
        mask.extend((0..width).map(|at| i64::from(at < row.len())));
    }
    let shape = [ids.len(), width];
    (Tensor::new("input_ids", &shape, all), Tensor::new("attention_mask", &shape, mask))
}

/// Token ids of a list in which -1 stands for none.
pub(super) fn tokens(list: Option<&[i64]>) -> Vec<u32> {
    list.unwrap_or_default().iter().filter_map(|token| u32::try_from(*token).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Values;

    #[test]
    fn shorter_texts_are_filled_up_and_masked() {
        let (ids, mask) = padded(&[vec![5, 6, 7], vec![8]], 1);
        assert_eq!((ids.shape, ids.values), (vec![2, 3], Values::I64(vec![5, 6, 7, 8, 1, 1])));
        assert_eq!(mask.values, Values::I64(vec![1, 1, 1, 1, 0, 0]));
    }
}
