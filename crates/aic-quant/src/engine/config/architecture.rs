use crate::{Error, Result};

/// The families of models the decoder runs. They share one shape, and differ in what metadata and tensors say, and in what
/// is written down here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Phi3,
    Gemma,
    Gemma2,
    Gemma3,
}

/// What is applied to the gate of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    /// The Gaussian error linear unit by its tanh approximation.
    GeluTanh,
}

impl Architecture {
    const ALL: [Self; 7] =
        [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Phi3, Self::Gemma, Self::Gemma2, Self::Gemma3];

    pub(super) fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| Error::Unsupported {
            what: "architecture",
            name: name.to_owned(),
            supported: "llama (Llama 2 and 3, Mistral, SmolLM …), qwen2, qwen3, phi3 (Phi 3 and 4), gemma, gemma2, gemma3",
        })
    }

    /// The name in metadata keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Phi3 => "phi3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Whether rotary positions pair neighbours (as GGUF files of llama do) rather than halves.
    pub(crate) fn rotates_neighbours(self) -> bool {
        self == Self::Llama
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    pub(super) fn activation(self) -> Activation {
        if self.is_gemma() { Activation::GeluTanh } else { Activation::Silu }
    }

    /// Whether what attention and feed-forward network return is normed once more before it is added.
    pub(super) fn has_post_norms(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Whether scores are scaled by the share of a head in the hidden size, not by the head's own size. So are the largest
    /// Gemma 2 and 3, which files of GGUF do not say: llama.cpp tells them by their number of layers, and so do we.
    pub(super) fn scales_by_share(self, layers: usize) -> bool {
        matches!((self, layers), (Self::Gemma2, 46) | (Self::Gemma3, 62))
    }

    /// Caps of the scores and of the logits that a file without such keys has.
    pub(super) fn softcaps(self) -> [Option<f64>; 2] {
        if self == Self::Gemma2 { [Some(50.0), Some(30.0)] } else { [None, None] }
    }

    /// The window a file without such a key has.
    pub(super) fn window(self) -> Option<usize> {
        (self == Self::Gemma2).then_some(4096)
    }

    /// Of how many layers the last has no window, where the others have one; 0 if all have one.
    pub(super) fn window_period(self) -> usize {
        match self {
            Self::Gemma2 => 2,
            Self::Gemma3 => 6,
            _ => 0,
        }
    }

    /// The rotary base of layers with a window, where it is not that of the others.
    pub(super) fn window_rope_base(self) -> Option<f64> {
        (self == Self::Gemma3).then_some(10_000.0)
    }
}
