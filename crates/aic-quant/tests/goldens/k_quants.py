"""Writes k_quants.json: rows, and what ggml's K types make of them.

    python k_quants.py path/to/libggml-base.so > k_quants.json

`errors` are sums of squared errors of whole rows as ggml encodes them, `weighted` the same times the importance, which ggml was
given; `block` is the first block of the first row as ggml writes it, `decoded` what ggml reads from it (the bits of 32-bit floats).
"""
import ctypes
import json
import sys

import numpy as np

COLUMNS = 512
TYPES = {"Q2_K": (10, 84), "Q3_K": (11, 110), "Q4_K": (12, 144), "Q5_K": (13, 176), "Q6_K": (14, 210)}

library = ctypes.CDLL(sys.argv[1])
encode = library.ggml_quantize_chunk
encode.restype = ctypes.c_size_t
encode.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

random = np.random.default_rng(5)
rows = {
    "normal": random.standard_normal(COLUMNS),
    "laplace": random.laplace(size=COLUMNS),
    "student_t_4": random.standard_t(4, COLUMNS),
    "uniform": random.uniform(-1, 1, COLUMNS),
    "shifted": random.standard_normal(COLUMNS) + 1,
    "far_shifted": random.standard_normal(COLUMNS) * 0.2 + 1,
    "sparse": random.standard_normal(COLUMNS) * (random.uniform(size=COLUMNS) < 0.2),
}
# Whole numbers in the file, times a power of two: exact in every language.
rows = {name: np.round(row * 2**10) for name, row in rows.items()}
importance = np.maximum(1, np.round(random.lognormal(0, 1.5, COLUMNS) * 2**6))


def f32(row, power):
    return (row * 2.0**power).astype(np.float32)


def pointer(array):
    return None if array is None else array.ctypes.data


def encoded(name, row, weights):
    code, size = TYPES[name]
    out = np.empty(COLUMNS // 256 * size, np.uint8)
    encode(code, pointer(row), pointer(out), 0, 1, COLUMNS, pointer(weights))
    return out


def decoded(name, data):
    out = np.empty(len(data) // TYPES[name][1] * 256, np.float32)
    decode = getattr(library, f"dequantize_row_{name.lower().replace('_k', '_K')}")
    decode(ctypes.c_void_p(pointer(data)), ctypes.c_void_p(pointer(out)), ctypes.c_int64(len(out)))
    return out


weights = f32(importance, -6)
types = {}
for name, (_, size) in TYPES.items():
    errors, weighted = {}, {}
    for label, row in rows.items():
        row = f32(row, -14)
        plain = decoded(name, encoded(name, row, None)).astype(float) - row
        errors[label] = float(np.sum(plain**2))
        careful = decoded(name, encoded(name, row, weights)).astype(float) - row
        weighted[label] = float(np.sum(weights * careful**2))
    block = encoded(name, f32(rows["normal"], -14), None)[:size]
    types[name] = {
        "errors": errors,
        "weighted": weighted,
        "block": block.tobytes().hex(),
        "decoded": decoded(name, block).view(np.uint32).tolist(),
    }

rows = {name: row.astype(int).tolist() for name, row in rows.items()}
parts = [f'"{name}": {json.dumps(row, separators=(",", ":"))}' for name, row in rows.items()]
print('{"rows": {\n' + ",\n".join(parts) + '\n},')
print(f'"importance": {json.dumps(importance.astype(int).tolist(), separators=(",", ":"))},')
parts = [f'"{name}": {json.dumps(entry, separators=(",", ":"))}' for name, entry in types.items()]
print('"types": {\n' + ",\n".join(parts) + "\n}}")
