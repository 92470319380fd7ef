"""Trains a small tokenizer of every kind, and writes it as a GGUF file with the ids that its library makes of hard texts.

    python make.py        # needs tokenizers 0.23, sentencepiece 0.2, gguf 0.19

For each NAME: NAME.gguf (metadata only) and, in cases.json, the texts and ids. The pre-tokenizers are those of the
families' own tokenizer.json files.
"""

import io
import json
import random
from pathlib import Path

import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

TEXTS = [
    "", "a", " ", "  ", "\t", "\n", "\r\n", "\r\n\r\n  x", "a\r\nb", "  leading", "trailing  ", "a  b   c    d     e",
    "\t\tx\t y", "\n\n\nx\n \n", "a\u00a0b\u00a0\u00a0c", "a\u200bb\u200b\u200b", "\u200b", "\u3000\u3000\u5168\u89d2\u3000",
    "\ufeffbom", "\u2028\u2029x", "I'm we're they've he'll she'd it's don't I'M WE'RE DON'T o'clock 'tis ''s",
    "'\u017f 'S '\u017fx I'\u017f", "it\u2019s \u2018quoted\u2019", "1 12 123 1234 12345 123456 1234567890",
    "\uff11\uff12\uff13\uff14\uff15 \u0660\u0661\u0662\u0663\u0664 \u2167 \u00bd \u00b2 \u2460", "3.14159e-10 0xDEADBEEF 1,000,000",
    "def f(x):\n    return x**2  # comment\n\n\nclass A:\n\tpass\n", "if (a&&b||!c){x[i]+=1;}/* ok */ //x\r\n",
    "<html><body class=\"a\">&amp;</body></html>", "Hello, world! How are you?",
    "The quick brown fox jumps over the lazy dog.", "camelCaseWord PascalCase SCREAMING_SNAKE snake_case HTTPServer",
    "\u00c4pfel \u00d6l \u00dcbung \u00df \u1e9e na\u00efve caf\u00e9", "e\u0301 a\u0300 o\u0308 n\u0303 \u0301\u0301 x\u0323\u0307",
    "C\u1eeda Vi\u1ec7t ti\u1ebfng", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0415\u0449\u0451",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0661\u0662\u0663",
    "\u05e9\u05dc\u05d5\u05dd \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u6f22\u5b57\u304b\u306a\u30ab\u30ca\u6df7\u3058\u308a\u6587\u3002\u300c\u5f15\u7528\u300d",
    "\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e", "\uc548\ub155\ud558\uc138\uc694 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "\U0001f680 \U0001f636\u200d\U0001f32b\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd",
    "\ufb01 \ufb02 \ufdfa \u338f \u212b \u212a", "\u0378\u0379 \U000e0001 \U0010ffff \ue000", "\u0001\u0002 \u007f \u0080 \u009f",
    "\u202eRTL\u202c \u2066x\u2069", "\ufffd \ufffd\ufffd", "<|im_start|>user\nhi<|im_end|> <tool>x</tool>", "<|im_start", "< s >",
    "\u2581 \u2581\u2581a \u2581b", "\u0120 \u010a \u0120\u0120", "##a ##", "a" * 300, "ab" * 100, " " * 257 + "x", "\n" * 60, "!" * 60,
    "\u00e9" * 60, "\U0001f980" * 20, "=-" * 20 + "\n" + "*" * 33, "xyz\n\n\n  " * 5, "...   ...\n...", "..\n\n/../\r/", "\"'`\u00b4",
    "$100 \u20ac5 \u00a33 +1-2*3/4^5~6|7`8<9>0=", "a_b_c __init__ _ __", "http://example.com/path?q=1&r=2#frag user@example.com",
    "\u01c5 \u01c5a a\u01c5 \u02b0\u02b1 \u00aa\u00ba", "\U0001d518\U0001d52b\U0001d526", "\U00020000\U00020001 \u3400", "\uff71\uff72\uff73 \uff65",
    "\u00bfQu\u00e9? \u00a1S\u00ed!", "x\u0085y\u000bz\u000cw", "\u1680 \u2000\u2001\u202f\u205f", " \u00a0 \u00a0x", "\u00ad-\u00ad",
]
POOL = (
    "aAbB1 2\t\n\r\u00a0\u3000'\u2019sStTlL.,!?-_/\\\u00e9\u00f1\u00fc\u00df\u03bb\u0436\u0416\u6f22\u5b57\ud55c\u3042\u30a2\U0001f980\U0001f44d"
    "\u0301\u200d\u200b\ufe0f\u0623\u05d0\u0928\u00b2\u00bd\u2167$\u20ac+<>=|`~^#@&*(){}[]\"\u017f\u01c5\u02b0\u0378\u2028"
)


def texts():
    draw = random.Random(7)
    return TEXTS + ["".join(draw.choice(POOL) for _ in range(draw.randint(1, 30))) for _ in range(80)]


def corpus():
    """What the vocabularies are learnt from: the texts, with more of the common ones."""
    plain = [text for text in TEXTS if len(text) < 100 and text.isprintable()]
    return (plain * 4 + texts()) * 2


def common(writer, tokens, types):
    writer.add_token_list(tokens)
    writer.add_token_types(types)


def save(name, kind, fill):
    writer = gguf.GGUFWriter(HERE / f"{name}.gguf", "llama")
    writer.add_tokenizer_model(kind)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
FAMILIES = {
    "gpt-2": [GPT2],
    "llama-bpe": [split(CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL), BYTES],
    "qwen2": [split(CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + TAIL), BYTES],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), GPT2],
    "tekken": [split(TEKKEN), BYTES],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK), BYTES],
    "falcon": [pre_tokenizers.Punctuation("contiguous"), GPT2, split("[0-9][0-9][0-9]")],
}


def byte_level(family, steps):
    """BPE over bytes, with control tokens and one that is user-defined."""
    keeps_words = family in ("llama-bpe", "tekken")
    tokenizer = Tokenizer(models.BPE(ignore_merges=keeps_words))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if family == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("   ", normalized=False)])
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.get)
    kinds = {"<|im_start|>": CONTROL, "<|im_end|>": CONTROL, "<tool>": USER_DEFINED, "   ": USER_DEFINED}
    merges = json.loads(tokenizer.to_str())["model"]["merges"]

    def fill(writer):
        writer.add_tokenizer_pre(family)
        common(writer, tokens, [kinds.get(token, NORMAL) for token in tokens])
        writer.add_token_merges([" ".join(merge) for merge in merges])
        writer.add_bos_token_id(ids["<|im_start|>"])
        writer.add_eos_token_id(ids["<|im_end|>"])
        writer.add_add_bos_token(False)

    save(family, "gpt2", fill)
    return [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts()]


PIECES = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "gemma": {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
        "add_dummy_prefix": False, "split_digits": True, "user_defined_symbols": ["\n\n", "<tool>"],
    },
    "t5": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc"},
    "unigram-bytes": {"model_type": "unigram", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
}


def sentence_piece(name, options):
    """SentencePiece, whose own program finds no control tokens in texts."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, vocab_size=900, hard_vocab_limit=False,
        max_sentencepiece_length=16, character_coverage=0.98, minloglevel=2, **options,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    kinds = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER_DEFINED, 5: UNUSED, 6: BYTE}
    unigram = options["model_type"] == "unigram"

    def fill(writer):
        common(writer, [piece.piece for piece in proto.pieces], [kinds[piece.type] for piece in proto.pieces])
        writer.add_token_scores([piece.score for piece in proto.pieces])
        writer.add_unk_token_id(pieces.unk_id())
        writer.add_bos_token_id(pieces.bos_id())
        writer.add_eos_token_id(pieces.eos_id())
        writer.add_add_bos_token(False)
        writer.add_add_eos_token(False)
        writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
        writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
        if proto.normalizer_spec.precompiled_charsmap:
            writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)

    save(name, "t5" if unigram else "llama", fill)
    return [[text, pieces.encode(text)] for text in texts()]


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False))
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.get)

    def original(token):
        """GGUF marks where words start instead of where they go on."""
        return token if token in special else token[2:] if token.startswith("##") else "\u2581" + token

    def fill(writer):
        common(writer, [original(token) for token in tokens], [CONTROL if token in special else NORMAL for token in tokens])
        writer.add_unk_token_id(1)
        writer.add_uint32("tokenizer.ggml.cls_token_id", 2)
        writer.add_sep_token_id(3)

    save("bert", "bert", fill)
    return [[text, [2, *tokenizer.encode(text).ids, 3]] for text in texts()]


def main():
    cases = {family: byte_level(family, steps) for family, steps in FAMILIES.items()}
    cases |= {name: sentence_piece(name, options) for name, options in PIECES.items()}
    cases["bert"] = word_piece()
    lines = [f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(case) for case in cases[name]) + "\n]" for name in cases]
    (HERE / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
