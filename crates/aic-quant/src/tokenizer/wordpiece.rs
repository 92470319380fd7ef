use tokenizers::Tokenizer;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, ModelWrapper};

use super::library::Library;
use super::spelling::{SPACE, Spelling};
use super::vocabulary::{Kind, Vocabulary};
use super::{failed, special};
use crate::Result;
use crate::gguf::Metadata;

/// What starts a token within a word.
const CONTINUATION: &str = "##";

/// The tokenizer of a file whose `tokenizer.ggml.model` is `bert`.
///
/// In GGUF a token that starts a word starts with `▁`, and one within a word with nothing; both are put back.
pub(super) fn build(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Library> {
    let tokens: Vec<_> = vocabulary.iter().map(|(token, text, kind)| (original(text, kind), token)).collect();
    let unknown = special::id(metadata, "unknown", vocabulary.len())?.unwrap_or(100);
    let model = WordPiece::builder()
        .vocab(tokens.into_iter().collect::<Vocab>())
        .unk_token(vocabulary.text(unknown).to_owned())
        .build();
    let mut tokenizer = Tokenizer::new(ModelWrapper::from(model.map_err(failed("build the vocabulary"))?));
    let lowercase = metadata.flag("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
    let strip_accents = metadata.flag("tokenizer.ggml.normalizer.strip_accents")?;
    let normalizer = BertNormalizer::new(true, true, strip_accents, lowercase);
    tokenizer.with_normalizer(Some(normalizer)).map_err(failed("build the normalizer"))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    let control = vocabulary.iter().filter(|(.., kind)| matches!(kind, Kind::Control | Kind::Unknown));
    let control: Vec<_> = control.map(|(_, text, _)| AddedToken::from(text.to_owned(), true)).collect();
    tokenizer.add_special_tokens(control).map_err(failed("add control tokens"))?;
    Ok(Library::new(tokenizer, Spelling::Spaces { strips_first: true }))
}

fn original(text: &str, kind: Kind) -> String {
    match text.strip_prefix(SPACE) {
        _ if kind != Kind::Ordinary => text.to_owned(),
        Some(word) => word.to_owned(),
        None => format!("{CONTINUATION}{text}"),
    }
}
