#!/usr/bin/env python3
"""Makes mixtures.txt: the type llama.cpp's quantize tool gives each tensor of some small models in every mixture.

    pip install gguf
    python3 mixtures.py path/to/llama-quantize > mixtures.txt

The models are headers with the depth, heads, experts and names of real ones, and rows as short as a block allows. A line
`tensor` names a weight and its shape, outermost dimension first; `blk.*` stands for one in every layer. A line of types has
one letter for each layer, or one letter if all are alike; letters are explained in the first line. A weight without such a
line has the mixture's own type. `imatrix` marks the choices made when an importance matrix is at hand, where they differ.
Made with ggml 0.25.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

LETTERS = {
    "Q2_K": "2", "Q3_K": "3", "Q4_K": "4", "Q5_K": "5", "Q6_K": "6", "Q8_0": "8", "Q4_0": "a", "Q4_1": "b",
    "Q5_0": "c", "Q5_1": "d", "IQ4_NL": "n", "F16": "h", "F32": "f",
}  # fmt: skip
MIXTURES = [
    "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K",
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL",
]  # fmt: skip


def attention(embedding, query, key):
    return {
        "blk.*.attn_norm.weight": [embedding],
        "blk.*.attn_q.weight": [query, embedding],
        "blk.*.attn_k.weight": [key, embedding],
        "blk.*.attn_v.weight": [key, embedding],
        "blk.*.attn_output.weight": [embedding, query],
    }


def fused(embedding, key):
    return {
        "blk.*.attn_norm.weight": [embedding],
        "blk.*.attn_qkv.weight": [embedding + 2 * key, embedding],
        "blk.*.attn_output.weight": [embedding, embedding],
    }


def feed_forward(embedding, hidden, gated=True):
    gate = {"blk.*.ffn_gate.weight": [hidden, embedding]} if gated else {}
    return gate | {
        "blk.*.ffn_norm.weight": [embedding],
        "blk.*.ffn_up.weight": [hidden, embedding],
        "blk.*.ffn_down.weight": [embedding, hidden],
    }


def experts(embedding, hidden, count):
    return {
        "blk.*.ffn_gate_inp.weight": [count, embedding],
        "blk.*.ffn_gate_exps.weight": [count, hidden, embedding],
        "blk.*.ffn_up_exps.weight": [count, hidden, embedding],
        "blk.*.ffn_down_exps.weight": [count, embedding, hidden],
    }


def shared_expert(embedding, hidden):
    return {
        "blk.*.ffn_gate_inp_shexp.weight": [embedding],
        "blk.*.ffn_gate_shexp.weight": [hidden, embedding],
        "blk.*.ffn_up_shexp.weight": [hidden, embedding],
        "blk.*.ffn_down_shexp.weight": [embedding, hidden],
    }


def state_space(embedding):
    return {
        "blk.*.ssm_in.weight": [4 * embedding, embedding],
        "blk.*.ssm_conv1d.weight": [2 * embedding, 4],
        "blk.*.ssm_x.weight": [48, 2 * embedding],
        "blk.*.ssm_dt.weight": [2 * embedding, 16],
        "blk.*.ssm_a": [2 * embedding, 16],
        "blk.*.ssm_out.weight": [embedding, 2 * embedding],
    }


def ends(embedding, tied=False):
    output = {} if tied else {"output.weight": [64, embedding]}
    return {"token_embd.weight": [64, embedding], "output_norm.weight": [embedding]} | output


BIASES = {f"blk.*.attn_{part}.bias": [32] for part in "qkv"}

# architecture, layers, heads, key-value heads, experts, tensors
MODELS = {
    "llama-32-gqa-8": ("llama", 32, 16, 2, 0, ends(256) | attention(256, 256, 32) | feed_forward(256, 512)),
    "llama-16-tied": ("llama", 16, 8, 2, 0, ends(256, tied=True) | attention(256, 256, 64) | feed_forward(256, 512)),
    "llama-32-mha": ("llama", 32, 4, 4, 0, ends(256) | attention(256, 256, 256) | feed_forward(256, 512)),
    "llama-80-gqa": ("llama", 80, 16, 2, 0, ends(256) | attention(256, 256, 32) | feed_forward(256, 256)),
    "llama-80-mha": ("llama", 80, 4, 4, 0, ends(256) | attention(256, 256, 256) | feed_forward(256, 256)),
    "llama-8-experts": ("llama", 32, 16, 4, 8, ends(256) | attention(256, 256, 64) | experts(256, 256, 8)),
    "llama-6-odd-rows": ("llama", 6, 4, 4, 0, ends(96) | attention(96, 96, 96) | feed_forward(96, 100)),
    "qwen2-24-tied": (
        "qwen2", 24, 14, 2, 0, ends(224, tied=True) | attention(224, 224, 32) | BIASES | feed_forward(224, 512),
    ),
    "qwen2-80": ("qwen2", 80, 16, 16, 0, ends(256) | attention(256, 256, 256) | BIASES | feed_forward(256, 256)),
    "qwen2moe-24": (
        "qwen2moe", 24, 4, 4, 60,
        ends(256) | attention(256, 256, 256) | experts(256, 256, 60) | shared_expert(256, 256),
    ),
    "gemma-18": ("gemma", 18, 8, 1, 0, ends(256, tied=True) | attention(256, 256, 32) | feed_forward(256, 512)),
    "falcon-32": ("falcon", 32, 8, 1, 0, ends(256) | fused(256, 32) | feed_forward(256, 512, gated=False)),
    "phi3-32": ("phi3", 32, 8, 8, 0, ends(256) | fused(256, 256) | feed_forward(256, 512, gated=False)),
    "mamba-12": ("mamba", 12, 0, 0, 0, ends(256, tied=True) | state_space(256)),
}  # fmt: skip


def write(path, model):
    architecture, layers, heads, kv_heads, count, tensors = model
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(512)
    writer.add_block_count(layers)
    writer.add_embedding_length(tensors["token_embd.weight"][1])
    writer.add_feed_forward_length(512)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_sliding_window(0)
    if architecture == "mamba":
        writer.add_ssm_conv_kernel(4)
        writer.add_ssm_inner_size(512)
        writer.add_ssm_state_size(16)
        writer.add_ssm_time_step_rank(16)
    if count:
        writer.add_expert_count(count)
        writer.add_expert_used_count(2)
    for name in named(layers, tensors):
        shape = tensors[star(name)]
        whole = len(shape) == 1 or "inp" in name or "conv1d" in name or not name.endswith("weight")
        writer.add_tensor(name, np.zeros(shape, np.float32 if whole else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def named(layers, tensors):
    for name in tensors:
        for layer in range(layers) if "*" in name else [0]:
            yield name.replace("*", str(layer))


def star(name):
    return re.sub(r"blk\.\d+", "blk.*", name)


def write_importance(path):
    writer = gguf.GGUFWriter(path, "none")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["none"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 512)
    writer.add_tensor("none.weight.in_sum2", np.ones((1, 256), np.float32))
    writer.add_tensor("none.weight.counts", np.ones((1, 1), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def choices(tool, path, mixture, importance):
    options = ["--imatrix", importance] if importance else []
    command = [tool, "--dry-run", *options, path, mixture]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    chosen = {}
    for line in (output.stdout + output.stderr).splitlines():
        if found := re.match(r"\[ *\d+/ *\d+\] +(\S+) +- \[.*\], type = +(\w+),(.*)", line):
            name, before, rest = found.groups()
            after = re.search(r"\((\w+)\)\s*$", rest)
            chosen[name] = (after[1] if after else before).upper()
    return chosen


def own(mixture):
    return re.sub(r"_[SML]$", "", mixture)


def letters(name, layers, chosen):
    row = "".join(LETTERS[chosen[name.replace("*", str(layer))]] for layer in range(layers))
    return row[0] if len(set(row)) == 1 else row


def main(tool):
    print("# made by mixtures.py:", " ".join(f"{letter}={name}" for name, letter in LETTERS.items()))
    with tempfile.TemporaryDirectory() as folder:
        path, importance = str(pathlib.Path(folder, "model.gguf")), str(pathlib.Path(folder, "imatrix.gguf"))
        write_importance(importance)
        for title, model in MODELS.items():
            architecture, layers, heads, kv_heads, count, tensors = model
            print(f"model {title} {architecture} layers={layers} heads={heads} kv_heads={kv_heads} experts={count}")
            for name, shape in tensors.items():
                print("tensor", name, "x".join(map(str, shape)))
            write(path, model)
            for mixture in MIXTURES:
                plain, weighed = (choices(tool, path, mixture, given) for given in (None, importance))
                for name in tensors:
                    if len(tensors[name]) == 1:
                        continue
                    depth = layers if "*" in name else 1
                    row, other = letters(name, depth, plain), letters(name, depth, weighed)
                    if row == other == LETTERS[own(mixture)]:
                        continue
                    print(mixture, name, row, *([f"imatrix={other}"] if other != row else []))


main(sys.argv[1])
