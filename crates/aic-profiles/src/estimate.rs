use serde::{Deserialize, Serialize};

use crate::hardware::Hardware;
use crate::level::Level;

/// The shape of a model's key-value cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvShape {
    /// Layers that attend to all earlier tokens.
    pub layers: u32,
    /// Key-value heads of each layer; fewer than the attention heads when these share them.
    pub kv_heads: u32,
    /// Numbers in one head.
    pub head_dim: u32,
}

impl KvShape {
    /// For a model that keeps no cache, such as an encoder.
    pub const NONE: Self = Self { layers: 0, kv_heads: 0, head_dim: 0 };
}

/// How an engine holds quantized weights in main memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Engine {
    /// Once, as they are in the file.
    #[default]
    InPlace,
    /// As candle 0.11 does on x86: copies packed for its kernels are kept beside the originals.
    ///
    /// Measured there: Q8_0 twice its size, Q6_K 2.54 times, Q4_K 2.33 times and, with AMX, 4.69 times. Candle packs
    /// only where the processor has the instructions; this counts the copies on every x86 processor.
    Candle,
}

/// The memory one choice takes, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Weights, with the copies the engine makes of them; `None` if the level's size is not known.
    pub weights_bytes: Option<u64>,
    /// Key-value cache of all requests at once; `None` if its shape or type is not known.
    pub kv_bytes: Option<u64>,
}

impl Estimate {
    /// The sum, or `None` if a part is not known or the sum passes `u64`.
    pub fn total_bytes(&self) -> Option<u64> {
        self.weights_bytes?.checked_add(self.kv_bytes?)
    }
}

/// Bytes of `parameters` weights stored at `level`, all of them quantized.
///
/// `None` for a level of unknown size, or beyond `u64`. Real files are a little larger: norms and biases stay in
/// floating point, and embeddings often keep more bits.
///
/// ```
/// use aic_profiles::{Level, weights_bytes};
///
/// assert_eq!(weights_bytes(1 << 20, &Level::Q8_0), Some(1_114_112));
/// assert_eq!(weights_bytes(1 << 20, &"NVFP4".parse()?), None);
/// # Ok::<(), aic_profiles::Error>(())
/// ```
pub fn weights_bytes(parameters: u64, level: &Level) -> Option<u64> {
    level.bytes(parameters)
}

/// Bytes of the key-value cache of `sequences` sequences of `tokens` tokens each, kept at `level`.
///
/// Two rows (key and value) of `kv_heads · head_dim` numbers for each layer and token, as llama.cpp's
/// `llama-kv-cache.cpp` lays them out. `None` for a level of unknown size, for one whose blocks do not divide
/// `head_dim` (a head of 80 numbers cannot be kept as Q8_0), or beyond `u64`. Sliding-window and recurrent layers keep
/// less than this.
pub fn kv_bytes(shape: &KvShape, tokens: u32, level: &Level, sequences: u32) -> Option<u64> {
    if !shape.head_dim.is_multiple_of(level.block()?.elements) {
        return None;
    }
    let row = level.bytes(u64::from(shape.kv_heads).checked_mul(u64::from(shape.head_dim))?)?;
    let rows = 2_u64.checked_mul(u64::from(shape.layers))?.checked_mul(u64::from(tokens))?;
    rows.checked_mul(u64::from(sequences))?.checked_mul(row)
}

impl Engine {
    /// Bytes in main memory of weights whose stored form takes `stored` bytes.
    pub(crate) fn resident_bytes(self, stored: u64, level: &Level, hardware: &Hardware) -> Option<u64> {
        let percent = match self {
            Self::InPlace => 100,
            Self::Candle => candle_percent(level, hardware),
        };
        u64::try_from(u128::from(stored) * percent / 100).ok()
    }
}

fn candle_percent(level: &Level, hardware: &Hardware) -> u128 {
    match level.as_str() {
        "Q4_K" if hardware.has_isa("amx_int8") => 469,
        "Q4_K" => 233,
        "Q6_K" => 254,
        "Q8_0" => 200,
        _ => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LLAMA_3_8B: KvShape = KvShape { layers: 32, kv_heads: 8, head_dim: 128 };

    #[test]
    fn llama_3_8b_keeps_128_kib_of_cache_for_each_token() {
        assert_eq!(kv_bytes(&LLAMA_3_8B, 1, &Level::F16, 1), Some(128 << 10));
        assert_eq!(kv_bytes(&LLAMA_3_8B, 8192, &Level::F16, 1), Some(1 << 30));
        assert_eq!(kv_bytes(&LLAMA_3_8B, 8192, &Level::Q8_0, 1), Some((1 << 30) / 32 * 17));
    }

    #[test]
    fn a_head_that_blocks_do_not_divide_has_no_estimate() {
        let phi_2 = KvShape { layers: 32, kv_heads: 32, head_dim: 80 };

        assert_eq!(kv_bytes(&phi_2, 2048, &Level::Q8_0, 1), None);
        assert!(kv_bytes(&phi_2, 2048, &Level::F16, 1).is_some());
    }

    #[test]
    fn a_model_without_cache_takes_none_of_it() {
        assert_eq!(kv_bytes(&KvShape::NONE, 4096, &Level::F16, 8), Some(0));
    }

    #[test]
    fn candle_keeps_packed_copies_beside_the_weights() {
        let amx = Hardware::new(8, 1 << 34).isa(["amx_int8"]);

        // The measured matrix: 8192 x 8192 weights, 36 MiB as Q4_K and 169 MiB after use.
        let resident = Engine::Candle.resident_bytes(36 << 20, &Level::Q4_K, &amx).unwrap();

        assert_eq!(resident >> 20, 168);
    }

    proptest! {
        #[test]
        fn more_tokens_never_take_less_cache(tokens in 0..1_000_000_u32, sequences in 0..64_u32) {
            let one = kv_bytes(&LLAMA_3_8B, tokens, &Level::F16, sequences).unwrap();
            let more = kv_bytes(&LLAMA_3_8B, tokens + 1, &Level::F16, sequences).unwrap();
            prop_assert!(more >= one);
        }

        #[test]
        fn no_shape_overflows(layers: u32, kv_heads: u32, head_dim: u32, tokens: u32, sequences: u32) {
            let shape = KvShape { layers, kv_heads, head_dim };
            let exact = [2, layers, kv_heads, head_dim, tokens, sequences]
                .iter()
                .try_fold(2_u128, |product, &factor| product.checked_mul(u128::from(factor)));
            let found = kv_bytes(&shape, tokens, &Level::F16, sequences);
            prop_assert!(found.is_none() || found.map(u128::from) == exact);
        }
    }
}
