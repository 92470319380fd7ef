"""Makes the tiny models of this folder, with random weights, and what the Python library answers with them.

Each model lies in a folder as `optimum` exports it. `expected.json` holds inputs, and what transformers' own `generate`,
its Whisper feature extractor and sentence-transformers' pooling make of them.

    pip install torch==2.8.0 transformers==4.57.6 optimum-onnx==0.1.0 onnxruntime
    python make.py
"""
import copy
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from optimum.exporters.onnx import main_export
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig, BertModel, GenerationConfig, M2M100Config, M2M100ForConditionalGeneration, MarianConfig, MarianMTModel,
    PreTrainedTokenizerFast, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration,
)
from transformers.generation import GenerationMixin
from transformers.generation.logits_process import (
    LogitsProcessorList, SuppressTokensAtBeginLogitsProcessor, SuppressTokensLogitsProcessor, WhisperTimeStampLogitsProcessor,
)

HERE = Path(__file__).parent
TEXTS = ["Hello, world!", "Where is the station?", "The weather is fine today and we go to the sea.", "No."]
CORPUS = TEXTS + ["hello world where are you", "the sea and the station are near", "guten tag die welt ist schön"]
KEPT = {"config.json", "generation_config.json", "tokenizer.json", "preprocessor_config.json"}
PROMPT = ["<|startoftranscript|>", "<|de|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
          "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]


def spread(model, factor, seed):
    """Weights large enough that different inputs have different answers."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() >= 2 and "embed_positions" not in name:
            weight.data = torch.randn(weight.shape, generator=generator) * factor / weight.shape[-1] ** 0.5
    model.tie_weights()
    return model.eval()


def sentencepiece_like(special, vocab_size=120):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False))
    return tokenizer


def export(model, tokenizer, name, task, kept, extra=(), **shapes):
    target = HERE / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "source", Path(folder) / "output"
        model.save_pretrained(source)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **extra_tokens(model)).save_pretrained(source)
        for part in extra:
            part.save_pretrained(source)
        main_export(source, output, task=task, library_name="transformers", do_validation=False,
                    no_post_process="merged" not in " ".join(kept), **shapes)
        for file in sorted(output.iterdir()):
            if file.name in KEPT or file.name in kept:
                shutil.copy(file, target / file.name)
        tokenizer.save(str(target / "tokenizer.json"), pretty=False)


def extra_tokens(model):
    return {} if isinstance(model, BertModel) else {"pad_token": "<pad>", "eos_token": "</s>"}


def answer(model, ids, **options):
    with torch.no_grad():
        mask = torch.ones_like(ids) if options.get("attention_mask") is None else options.pop("attention_mask")
        output = model.generate(input_ids=ids, attention_mask=mask, return_dict_in_generate=True, **options)
    return output.sequences[0].tolist()


def translations(model, encode, target, **more):
    forced = {"forced_bos_token_id": target} if target is not None else {}
    cases = []
    for text in TEXTS:
        ids = torch.tensor([encode(text)])
        case = {"text": text, "ids": ids[0].tolist(),
                "greedy": answer(model, ids, num_beams=1, early_stopping=False, max_length=24, **forced, **more),
                "beams": answer(model, ids, num_beams=4, max_length=24, **forced, **more),
                "penalised": answer(model, ids, num_beams=3, max_length=20, length_penalty=2.0, no_repeat_ngram_size=2,
                                    **forced, **more),
                "unrepeated": answer(model, ids, num_beams=1, early_stopping=False, max_length=24, no_repeat_ngram_size=2, **forced, **more)}
        cases.append(case)
    return cases


def m2m100():
    """The NLLB kind: language tokens, decoder without and with past in two files."""
    tokenizer = sentencepiece_like(["<s>", "<pad>", "</s>", "<unk>", "eng_Latn", "deu_Latn", "fra_Latn"])
    size = tokenizer.get_vocab_size()
    config = M2M100Config(vocab_size=size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                          decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
                          bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)
    model = spread(M2M100ForConditionalGeneration(config), 1.6, 11)
    model.generation_config = GenerationConfig(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, max_length=32)
    id_of = tokenizer.token_to_id
    encode = lambda text: [id_of("eng_Latn"), *tokenizer.encode(text, add_special_tokens=False).ids, id_of("</s>")]
    cases = translations(model, encode, id_of("deu_Latn"))
    export(model, tokenizer, "m2m100", "text2text-generation-with-past",
           {"encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"})
    return cases


def marian():
    """The OPUS-MT kind: one pair of languages, forbidden padding, merged decoder; stops early."""
    tokenizer = sentencepiece_like(["</s>", "<unk>"], 100)
    tokenizer.add_special_tokens([AddedToken("<pad>", special=True)])
    id_of = tokenizer.token_to_id
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", id_of("</s>"))])
    pad = id_of("<pad>")
    config = MarianConfig(vocab_size=tokenizer.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=1,
                          encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
                          max_position_embeddings=64, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad,
                          forced_eos_token_id=0, scale_embedding=True)
    model = spread(MarianMTModel(config), 1.8, 5)
    model.final_logits_bias[0, 0] = 2.2
    model.generation_config = GenerationConfig(
        bos_token_id=0, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad, forced_eos_token_id=0,
        bad_words_ids=[[pad]], max_length=32, num_beams=4, renormalize_logits=True, early_stopping=True)
    cases = translations(model, lambda text: tokenizer.encode(text).ids, None)
    export(model, tokenizer, "marian", "text2text-generation-with-past", {"encoder_model.onnx", "decoder_model_merged.onnx"})
    return cases


def sound(seconds):
    """A chirp with beats; the formula is repeated in the tests."""
    time = np.arange(int(16000 * seconds), dtype=np.float64) / 16000
    wave = 0.4 * np.sin(2 * np.pi * (200 + 300 * time) * time) + 0.2 * np.sin(2 * np.pi * 1730 * time) * np.sin(2 * np.pi * 3 * time)
    return wave.astype(np.float32)


def window(model, id_of, features, language, task, stamps, beams):
    """What one window becomes; the model's own `generate` goes on at the last timestamp, this does not."""
    prompt = [id_of(PROMPT[0]), id_of(f"<|{language}|>"), id_of(f"<|{task}|>")]
    prompt += [] if stamps else [id_of("<|notimestamps|>")]
    config = copy.deepcopy(model.generation_config)
    first = id_of("<|notimestamps|>") + 1
    suppressed = config.suppress_tokens + ([] if stamps else list(range(first, first + 101)))
    rules = [SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, len(prompt)), SuppressTokensLogitsProcessor(suppressed)]
    if stamps:
        rules.append(WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt)))
    config.suppress_tokens = config.begin_suppress_tokens = config.max_length = None
    with torch.no_grad():
        output = GenerationMixin.generate(
            model, features, generation_config=config, decoder_input_ids=torch.tensor([prompt]), num_beams=beams,
            logits_processor=LogitsProcessorList(rules), max_new_tokens=30)
    return output[0].tolist()[len(prompt):]


def whisper():
    alphabet = ["Ġ" if letter == " " else letter for letter in " abcdefghijklmnopqrstuvwxyz.,"]
    words = {token: at for at, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", *PROMPT])
    tokenizer.add_special_tokens([f"<|{step * 0.02:.2f}|>" for step in range(101)])
    id_of = tokenizer.token_to_id
    end = id_of("<|endoftext|>")
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), num_mel_bins=80, d_model=8, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_source_positions=100, max_target_positions=64, bos_token_id=end, eos_token_id=end, pad_token_id=end,
        decoder_start_token_id=id_of(PROMPT[0]), suppress_tokens=None, begin_suppress_tokens=None)
    model = spread(WhisperForConditionalGeneration(config), 2.2, 3)
    model.generation_config = GenerationConfig(
        bos_token_id=end, pad_token_id=end, eos_token_id=end, decoder_start_token_id=id_of(PROMPT[0]), max_length=48,
        suppress_tokens=[3, 4, *[id_of(token) for token in PROMPT[:1] + PROMPT[3:8]]], begin_suppress_tokens=[0, end],
        is_multilingual=True, lang_to_id={"<|de|>": id_of("<|de|>"), "<|en|>": id_of("<|en|>")},
        task_to_id={"transcribe": id_of("<|transcribe|>"), "translate": id_of("<|translate|>")},
        no_timestamps_token_id=id_of("<|notimestamps|>"), prev_sot_token_id=id_of("<|startofprev|>"),
        max_initial_timestamp_index=50, return_timestamps=False)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=2)
    expected = {"mel": {}, "runs": []}
    for bins in (80, 128):
        features = WhisperFeatureExtractor(feature_size=bins, chunk_length=2)(sound(1.3), sampling_rate=16000, return_tensors="np")
        mel = features.input_features[0]
        expected["mel"][str(bins)] = {"shape": list(mel.shape), "every_97th": [round(float(x), 6) for x in mel.reshape(-1)[::97]]}
    for seconds in (1.3, 2.0):
        features = extractor(sound(seconds), sampling_rate=16000, return_tensors="pt").input_features
        for language, task, stamps, beams in (("de", "transcribe", False, 1), ("en", "translate", False, 4),
                                              ("en", "transcribe", True, 1), ("de", "transcribe", True, 3)):
            ids = window(model, id_of, features, language, task, stamps, beams)
            expected["runs"].append({"seconds": seconds, "language": language, "task": task, "timestamps": stamps,
                                     "beams": beams, "ids": ids})
    with torch.no_grad():
        features = extractor(sound(2.0), sampling_rate=16000, return_tensors="pt").input_features
        expected["detected"] = model.detect_language(features)[0].item()
    export(model, tokenizer, "whisper", "automatic-speech-recognition-with-past",
           {"encoder_model.onnx", "decoder_model_merged.onnx"}, [extractor], nb_max_frames=200)
    return expected


def bert():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + sorted({letter for text in CORPUS for letter in text.lower() if letter != " "})
    vocabulary += ["##" + token for token in vocabulary[4:]] + ["the", "sea", "world", "station"]
    tokenizer = Tokenizer(models.WordPiece({token: at for at, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    config = BertConfig(vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=48)
    model = spread(BertModel(config), 1.0, 7)
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids[:48]])
        with torch.no_grad():
            states = model(ids).last_hidden_state[0]
        unit = lambda vector: [round(float(x), 6) for x in vector / vector.norm()]
        expected.append({"text": text, "ids": ids[0].tolist(), "mean": unit(states.mean(0)), "cls": unit(states[0])})
    export(model, tokenizer, "bert", "feature-extraction", {"model.onnx"})
    pooling = HERE / "bert" / "1_Pooling"
    pooling.mkdir()
    (pooling / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": False,
                                                     "pooling_mode_mean_tokens": True}))
    return expected


if __name__ == "__main__":
    expected = {"m2m100": m2m100(), "marian": marian(), "whisper": whisper(), "bert": bert()}
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
