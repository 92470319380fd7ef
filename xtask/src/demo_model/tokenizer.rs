//! Byte-level byte-pair encoding, trained on the corpus, in the form GGUF calls `gpt2` with the pre-tokenizer `qwen2`.

use tokenizers::{
    AddedToken, Tokenizer,
    models::bpe::{BPE, BpeTrainer},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

use crate::{
    Result,
    corpus::{Example, Sample},
};

/// Words, single digits, punctuation: the pattern of Qwen 2.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Ends every message, and the answer; also begins a plain text.
pub(crate) const END: &str = "<|end|>";
const USER: &str = "<|user|>";
const ASSISTANT: &str = "<|assistant|>";
const SYSTEM: &str = "<|system|>";

/// The control tokens, which take the first ids.
pub(crate) const SPECIAL: [&str; 4] = [END, USER, ASSISTANT, SYSTEM];

/// What puts messages into the form the model was trained on (Jinja).
pub(crate) const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// A trained tokenizer and what the training texts need of it.
#[derive(Debug)]
pub(crate) struct Encoder {
    tokenizer: Tokenizer,
    merges: Vec<String>,
    tokens: Vec<String>,
}

/// Token ids of one training text, and how much each counts as a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Encoded {
    pub(crate) ids: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

/// How much predicting a question counts beside predicting an answer.
const QUESTION_WEIGHT: f32 = 0.05;

impl Encoder {
    /// Learns `vocabulary` tokens from the texts.
    pub(crate) fn train(texts: &[Sample], vocabulary: usize) -> Result<Self> {
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
            .build();
        let mut tokenizer = Tokenizer::new(BPE::default());
        let split =
            Split::new(SplitPattern::Regex(QWEN2.to_owned()), SplitDelimiterBehavior::Isolated, false)?;
        let bytes = ByteLevel::new(false, true, false);
        tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
        tokenizer.with_decoder(Some(bytes));
        let mut model = BPE::default();
        learn(&tokenizer, &mut trainer, &mut model, texts)?;
        let merges = merges(&model)?;
        tokenizer.with_model(model);
        tokenizer.add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)))?;
        let tokens = (0..tokenizer.get_vocab_size(true) as u32)
            .map(|id| tokenizer.id_to_token(id).ok_or_else(|| format!("token {id} has no text").into()))
            .collect::<Result<_>>()?;
        Ok(Self { tokenizer, merges, tokens })
    }

    /// The tokens in the order of their ids.
    pub(crate) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The merges in the order they were learnt, as "left right".
    pub(crate) fn merges(&self) -> &[String] {
        &self.merges
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    }

    #[cfg(test)]
    fn text(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true)
    }

    /// A training text with the weight of each token as a target.
    pub(crate) fn sample(&self, sample: &Sample) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        match sample {
            Sample::Text(text) => {
                self.push(&mut encoded, END, 0.0)?;
                self.push(&mut encoded, &format!("{text}{END}"), 1.0)?;
            }
            Sample::Chat { system, turns } => {
                if let Some(system) = system {
                    self.push(&mut encoded, &format!("{SYSTEM}{system}{END}"), 0.0)?;
                }
                for turn in turns {
                    self.push_turn(&mut encoded, turn)?;
                }
            }
        }
        Ok(encoded)
    }

    /// One question and its answer, where only the answer counts.
    pub(crate) fn exam(&self, example: &Example) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        self.push(&mut encoded, &question(example), 0.0)?;
        self.push(&mut encoded, &answer(example), 1.0)?;
        Ok(encoded)
    }

    fn push_turn(&self, encoded: &mut Encoded, turn: &Example) -> Result<()> {
        self.push(encoded, &question(turn), QUESTION_WEIGHT)?;
        self.push(encoded, &answer(turn), 1.0)
    }

    fn push(&self, encoded: &mut Encoded, text: &str, weight: f32) -> Result<()> {
        let ids = self.ids(text)?;
        encoded.weights.extend(std::iter::repeat_n(weight, ids.len()));
        encoded.ids.extend(ids);
        Ok(())
    }
}

pub(crate) fn question(example: &Example) -> String {
    format!("{USER}{}{END}{ASSISTANT}", example.prompt)
}

pub(crate) fn answer(example: &Example) -> String {
    format!("{}{END}", example.answer)
}

/// Counts the pre-tokenized words of the texts and learns the merges.
fn learn(tokenizer: &Tokenizer, trainer: &mut BpeTrainer, model: &mut BPE, texts: &[Sample]) -> Result<()> {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer};
    let pre_tokenizer = tokenizer.get_pre_tokenizer().ok_or("the tokenizer has no pre-tokenizer")?;
    let words = |text: &str| -> std::result::Result<Vec<String>, tokenizers::Error> {
        let mut split = PreTokenizedString::from(text);
        pre_tokenizer.pre_tokenize(&mut split)?;
        Ok(split
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(word, ..)| word.to_owned())
            .collect())
    };
    trainer.feed(texts.iter().flat_map(parts), words)?;
    trainer.train(model)?;
    Ok(())
}

fn parts(sample: &Sample) -> Vec<&str> {
    match sample {
        Sample::Text(text) => vec![text],
        Sample::Chat { system, turns } => {
            let turns = turns.iter().flat_map(|turn| [turn.prompt.as_str(), turn.answer.as_str()]);
            system.iter().copied().chain(turns).collect()
        }
    }
}

/// The merges of a model: its own serialized form is the only place that has them in order.
fn merges(model: &BPE) -> Result<Vec<String>> {
    let value = serde_json::to_value(model)?;
    let merges = value["merges"].as_array().ok_or("the model has no merges")?;
    merges
        .iter()
        .map(|merge| merge_text(merge).ok_or_else(|| format!("unknown form of a merge: {merge}").into()))
        .collect()
}

fn merge_text(merge: &serde_json::Value) -> Option<String> {
    let pair = merge.as_array()?;
    Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{corpus, dice::Dice};

    fn encoder() -> Encoder {
        let mut dice = Dice::new(1);
        let texts: Vec<Sample> = (0..500).map(|_| corpus::sample(&mut dice)).collect();
        Encoder::train(&texts, 400).expect("trains")
    }

    #[test]
    fn any_text_survives_the_round_trip() {
        let encoder = encoder();
        for text in [
            "Why is the sky blue?",
            "12+7 = 19",
            "fn f(x: i64) -> i64 {\n    x * 2\n}",
            "ÄÖü, 日本語 and \t tabs",
            "",
        ] {
            assert_eq!(encoder.text(&encoder.ids(text).expect("encodes")).expect("decodes"), text);
        }
    }

    #[test]
    fn control_tokens_have_the_first_ids_and_digits_stay_single() {
        let encoder = encoder();
        assert_eq!(encoder.ids("<|end|><|user|><|assistant|><|system|>").expect("encodes"), [0, 1, 2, 3]);
        assert_eq!(encoder.ids("123").expect("encodes").len(), 3);
        assert_eq!(encoder.tokens().len(), 400);
        assert_eq!(encoder.merges().len(), 400 - 256 - 4);
    }

    #[test]
    fn only_the_answer_counts_in_an_exam() {
        let encoder = encoder();
        let example = corpus::held_out(corpus::Kind::Arithmetic, 1, &mut Dice::new(2)).remove(0);
        let encoded = encoder.exam(&example).expect("encodes");
        let counted: Vec<u32> = encoded
            .ids
            .iter()
            .zip(&encoded.weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(encoder.text(&counted).expect("decodes"), example.answer);
        assert_eq!(counted.last(), Some(&0));
    }
}
