"""Makes the small random models of this folder, and what PyTorch says about them.

Needs the packages `torch` (2.8), `transformers` (4.57), `tokenizers`, `safetensors`, `gguf` (0.19) and `numpy`; run it in
this folder. Nothing is downloaded. For each family of decoders it writes

- `<family>.gguf`: the model with matrices in F16, under the names and with the conventions of llama.cpp's converter;
- `<family>/`: the same model as Hugging Face stores it, for some of them;
- `<family>.safetensors`: tokens, and the logits that `transformers` computes in F32 from the F16 weights.

and of an encoder

- `bert.gguf`, whose vector of a text is the mean of its tokens', and `bert/`, whose vector is the first token's;
- `bert.json`: texts, their tokens, and both vectors of each, scaled to length 1.

Weights are drawn so that what sets a family apart shows: norms far from 1, scores that soft caps bite into, windows shorter
than the texts, positions beyond the original context. Seeds are taken one after the other until the continuation is
clear: at every step the best token leads by a margin that rounding cannot take away.
"""

import json
import math
import os
import shutil

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig, Gemma2Config, Gemma3TextConfig, GemmaConfig, LlamaConfig, MistralConfig, Phi3Config, Qwen2Config, Qwen3Config,
)

TEXT = "hello well, the quick brown fox jumps over 13 lazy dogs while"
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WINDOW = 24
LENGTH = 80
NEW_TOKENS = 16
LAST = 12
MARGIN = 0.06

SIZES = dict(
    vocab_size=264, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, bos_token_id=261, eos_token_id=263, pad_token_id=261,
)


def sizes(**more):
    return {**SIZES, **more}


LONGROPE = dict(
    type="longrope",
    short_factor=[1.0 + 0.05 * i for i in range(6)],
    long_factor=[1.0 + 0.7 * i for i in range(6)],
)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64,
)
LOCAL = ["sliding_attention"]
FAMILIES = {
    "llama2": LlamaConfig(**sizes(tie_word_embeddings=False, rope_theta=1e4)),
    "llama3": LlamaConfig(
        **sizes(tie_word_embeddings=True, head_dim=32, rope_theta=5e5, rope_scaling=LLAMA3, num_attention_heads=2,
                num_key_value_heads=1)
    ),
    "mistral": MistralConfig(**sizes(tie_word_embeddings=True, head_dim=32, sliding_window=WINDOW)),
    "qwen2": Qwen2Config(
        **sizes(tie_word_embeddings=True, rope_theta=1e4,
                rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))
    ),
    "qwen3": Qwen3Config(**sizes(tie_word_embeddings=True, head_dim=32, rope_theta=1e6)),
    "phi3": Phi3Config(
        **sizes(tie_word_embeddings=True, partial_rotary_factor=0.75, sliding_window=WINDOW + 8, rope_theta=1e4,
                original_max_position_embeddings=48, rope_scaling=LONGROPE)
    ),
    "gemma": GemmaConfig(**sizes(head_dim=32, num_key_value_heads=1, num_hidden_layers=2)),
    "gemma2": Gemma2Config(
        **sizes(hidden_size=32, head_dim=16, num_hidden_layers=4, sliding_window=WINDOW, query_pre_attn_scalar=16,
                attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
    ),
    "gemma3": Gemma3TextConfig(
        **sizes(hidden_size=32, head_dim=16, num_hidden_layers=7, sliding_window=WINDOW, query_pre_attn_scalar=16,
                rope_theta=1e6, rope_local_base_freq=1e4, rope_scaling=dict(rope_type="linear", factor=4.0),
                layer_types=(LOCAL * 5 + ["full_attention"] + LOCAL))
    ),
    # What only `config.json` can say: another scale of scores.
    "gemma2-scaled": Gemma2Config(
        **sizes(hidden_size=32, head_dim=16, num_hidden_layers=2, sliding_window=WINDOW, query_pre_attn_scalar=64,
                attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
    ),
}
FOLDERS = ["llama3", "phi3", "gemma3", "gemma2-scaled"]


def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [merge.replace(" ", "") for merge in MERGES]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(merge.split()) for merge in MERGES]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    assert made.get_vocab_size() == SIZES["vocab_size"]
    return made, tokens + SPECIAL


def is_gemma(config):
    return config.model_type.startswith("gemma")


def draw(model, seed):
    """Gives `model` weights of our own choice, rounded to what F16 holds."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        if "norm" in name:
            drawn = 0.3 * drawn + (0.0 if is_gemma(config) else 1.0)
        elif name.endswith("bias"):
            drawn = 0.4 * drawn
        elif "embed_tokens" in name:
            # Small enough for the layers to change the subject: this matrix is the output too.
            drawn = 0.4 * drawn / (math.sqrt(config.hidden_size) if is_gemma(config) else 1.0)
        else:
            drawn = 1.6 * drawn / math.sqrt(weight.shape[1])
        with torch.no_grad():
            weight.copy_(drawn.half().float())


def logits(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].float()


def continuation(model, tokens):
    """The best next tokens, one after the other, and the smallest lead of any over the second best."""
    new, margin = [], math.inf
    for _ in range(NEW_TOKENS):
        row = logits(model, tokens + new)[-1]
        best = torch.topk(row, 2)
        margin = min(margin, ((best.values[0] - best.values[1]) / row.std()).item())
        new.append(best.indices[0].item())
        if margin < MARGIN or new[-1] >= 261:
            return new, 0.0
    return new, margin


def clear_model(config, prompt):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    for seed in range(10_000):
        draw(model, seed)
        new, margin = continuation(model, prompt)
        if margin >= MARGIN and len(set(new)) >= NEW_TOKENS // 4:
            return model, new, seed, margin
    raise RuntimeError("no clear model")


def permute(weight, heads):
    """Rows of a head from halves to neighbours, as llama.cpp rotates them."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def llama3_factors(config):
    """The `rope_freqs` of llama.cpp's converter: wave lengths with scaling over those without."""
    plain = 1.0 / (config.rope_theta ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim))
    scaled, _ = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    return (plain / scaled).numpy()


ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA, "mistral": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3, "phi3": gguf.MODEL_ARCH.PHI3, "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma2": gguf.MODEL_ARCH.GEMMA2, "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}


def write_gguf(path, config, model, tokens):
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    # llama.cpp takes some names, such as phi3, for a vocabulary.
    writer.add_name("small random model")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    describe(writer, config)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(SPECIAL)) + [3] * len(SPECIAL))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if architecture == gguf.MODEL_ARCH.LLAMA and ".q_proj." in name:
            weight = permute(weight, config.num_attention_heads)
        if architecture == gguf.MODEL_ARCH.LLAMA and ".k_proj." in name:
            weight = permute(weight, config.num_key_value_heads)
        if is_gemma(config) and name.endswith("norm.weight"):
            weight = weight + 1
        held = np.float16 if weight.dim() == 2 else np.float32
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), weight.numpy().astype(held))
    scaling, kind = rope_scaling(config)
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    if kind == "longrope":
        writer.add_tensor("rope_factors_long.weight", np.array(scaling["long_factor"], np.float32))
        writer.add_tensor("rope_factors_short.weight", np.array(scaling["short_factor"], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rope_scaling(config):
    scaling = getattr(config, "rope_scaling", None) or {}
    return scaling, scaling.get("rope_type", scaling.get("type"))


def describe(writer, config):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(getattr(config, "partial_rotary_factor", 1.0) * head))
    if getattr(config, "head_dim", None):
        writer.add_key_length(head)
        writer.add_value_length(head)
    if config.model_type not in ("gemma", "gemma2"):
        writer.add_rope_freq_base(config.rope_theta)
    if getattr(config, "sliding_window", None) and config.model_type not in ("qwen2", "qwen3"):
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    scaling, kind = rope_scaling(config)
    match kind:
        case "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(scaling["factor"])
        case "yarn":
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(scaling["factor"])
            writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        case "longrope":
            original = config.original_max_position_embeddings
            scale = config.max_position_embeddings / original
            writer.add_rope_scaling_orig_ctx_len(original)
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))


def write_folder(path, model, made):
    shutil.rmtree(path, ignore_errors=True)
    # Rounds the rotation too, which only this copy of the model is for.
    model.half().save_pretrained(path)
    made.save(f"{path}/tokenizer.json")
    os.remove(f"{path}/generation_config.json")


def golden(model, prompt, new, seed):
    random = torch.Generator().manual_seed(seed)
    long = torch.randint(0, 261, (LENGTH,), generator=random).tolist()
    tensors = {"text.continuation": torch.tensor(new, dtype=torch.int32)}
    short = long[:32]
    for name, tokens in [("text", prompt), ("long", long), ("short", short)]:
        tensors[f"{name}.tokens"] = torch.tensor(tokens, dtype=torch.int32)
        tensors[f"{name}.logits"] = logits(model, tokens)[-LAST:].contiguous()
    return tensors


WORDS = "the quick brown fox jump over lazy dog cafe hello world un ##believ ##able ! , . ? 1 2 ##3 漢 字".split()
SENTENCES = [
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "Unbelievable café 123 漢字?",
    "a", "the dog the fox the dog the fox the dog the fox the dog the fox the dog the fox the dog",
]


def word_pieces():
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + [f"##{letter}" for letter in letters] + WORDS
    made = Tokenizer(models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(tokens[:5])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made, tokens


def draw_encoder(config, seed):
    generator = torch.Generator().manual_seed(seed)
    model = transformers.BertModel(config, add_pooling_layer=False).float().eval()
    for name, weight in model.named_parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        if name.endswith("LayerNorm.weight"):
            drawn = 1.0 + 0.3 * drawn
        elif name.endswith("bias"):
            drawn = 0.3 * drawn
        elif "embeddings" not in name:
            drawn = 1.5 * drawn / math.sqrt(weight.shape[1])
        with torch.no_grad():
            weight.copy_(drawn.half().float())
    return model


def write_encoder_gguf(path, config, model, tokens):
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("bert")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    phantom = lambda token: token[2:] if token.startswith("##") else "\u2581" + token
    writer.add_token_list(tokens[:5] + [phantom(token) for token in tokens[5:]])
    writer.add_token_types([3] * 5 + [1] * (len(tokens) - 5))
    for name, token in [("pad", 0), ("unk", 1), ("sep", 3), ("mask", 4), ("bos", 2), ("eos", 3)]:
        getattr(writer, f"add_{name}_token_id")(token)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        is_matrix = weight.dim() == 2 and "position" not in name and "token_type" not in name
        held = np.float16 if is_matrix else np.float32
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), weight.numpy().astype(held))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encoder():
    made, tokens = word_pieces()
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=48,
    )
    model = draw_encoder(config, 1)
    rows = []
    for text in SENTENCES:
        ids = made.encode(text).ids
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        unit = lambda vector: torch.nn.functional.normalize(vector, dim=0).tolist()
        rows.append(dict(text=text, tokens=ids, mean=unit(states.mean(0)), first=unit(states[0])))
    with open("bert.json", "w") as file:
        json.dump(rows, file, ensure_ascii=False)
    write_encoder_gguf("bert.gguf", config, model, tokens)
    shutil.rmtree("bert", ignore_errors=True)
    model.half().save_pretrained("bert")
    made.save("bert/tokenizer.json")
    os.mkdir("bert/1_Pooling")
    with open("bert/1_Pooling/config.json", "w") as file:
        json.dump(dict(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False), file)


def main():
    torch.set_num_threads(1)
    made, tokens = tokenizer()
    prompt = made.encode(TEXT).ids
    for family, config in FAMILIES.items():
        model, new, seed, margin = clear_model(config, prompt)
        print(f"{family}: seed {seed}, margin {margin:.3f}, {len(prompt)} tokens, continuation {made.decode(new)!r}")
        if family != "gemma2-scaled":
            write_gguf(f"{family}.gguf", config, model, tokens)
        save_file(golden(model, prompt, new, seed), f"{family}.safetensors", metadata={"text": TEXT})
        if family in FOLDERS:
            write_folder(family, model, made)
    encoder()


if __name__ == "__main__":
    main()
