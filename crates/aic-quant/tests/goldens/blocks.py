"""Writes blocks.txt: what the Python package `gguf` makes of the rows below.

One line per type: its name, then the bytes of the quantized rows for Q8_0, or the sum of squared errors for the others.
The rows come from a generator that the Rust test repeats, exactly. Run: python blocks.py > blocks.txt
"""
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize


def noise(length: int, seed: int) -> np.ndarray:
    values, state = [], seed
    for _ in range(length):
        total = 0.0
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            total += (state >> 40) / 2**23 - 1.0
        values.append(total)
    return np.array(values, dtype=np.float32)


rows = noise(2048, 8)
print("Q8_0", quantize(rows, GGMLQuantizationType.Q8_0).tobytes().hex())
for name in ("Q4_0", "Q5_0", "Q4_1", "Q5_1"):
    dtype = GGMLQuantizationType[name]
    error = dequantize(quantize(rows, dtype), dtype).astype(np.float64) - rows
    print(name, f"{np.sum(error**2):.6f}")
