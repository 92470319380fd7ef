use regex::Regex;

use super::Calibration;
use crate::{Error, Result};

/// What the weights of an ONNX model become, and what it computes in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scheme {
    /// Weights of `MatMul`, `Gemm` and `Conv` and tables of `Gather` in 8 bits, with a scale for each output channel or
    /// row. Inputs are turned into 8 bits while the model runs, with a range measured each time. For transformers; needs no
    /// samples. Convolutions become smaller this way, not faster.
    DynamicInt8,
    /// `MatMul`, `Gemm` and `Conv` wholly in 8 bits: inputs and outputs have ranges measured beforehand on samples, and
    /// stand between `QuantizeLinear` and `DequantizeLinear`. For convolutional networks.
    StaticInt8(Calibration),
    /// Weights and most of the computing in half floats. Meant for GPUs; processors mostly convert back.
    Float16,
    /// Weights of `MatMul` and `Gemm` in blocks of 4 bits with a scale each (`MatMulNBits` of ONNX Runtime, which also
    /// turns blocks of inputs into 8 bits: four times as fast for one row, and no error next to that of the weights);
    /// tables of `Gather` in 8 bits, also where they are the output layer.
    Int4,
}

impl Scheme {
    /// The version of the standard operators that has all the scheme needs.
    pub(super) fn opset(&self) -> i64 {
        match self {
            // `DynamicQuantizeLinear`
            Self::DynamicInt8 | Self::Int4 => 11,
            // Scales for each channel.
            Self::StaticInt8(_) => 13,
            Self::Float16 => 7,
        }
    }
}

/// How 8-bit weights of products are laid out for the processors that will multiply with them.
///
/// Inputs are unsigned bytes. Without VNNI instructions, x86 processors sum pairs of products of unsigned and signed bytes in
/// 16 bits, and what does not fit is cut off, silently: [onnxruntime#12088](https://github.com/microsoft/onnxruntime/issues/12088).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightRange {
    /// 8 bits, unsigned, around a zero point of 128: exact on every processor. About a third slower than signed weights
    /// for many rows at a time, as fast for one.
    ///
    /// With [`StaticInt8`](Scheme::StaticInt8), whose operators expect signed weights, the same as
    /// [`SevenBits`](Self::SevenBits).
    #[default]
    Unsigned,
    /// 7 bits, signed: exact on every processor and as fast as [`Signed`](Self::Signed), with twice the error of weights.
    SevenBits,
    /// 8 bits, signed: best where the processor has VNNI (Intel since Cascade Lake, AMD since Zen 4) or is not x86.
    Signed,
}

/// How [`quantize`](super::quantize) treats a model.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Options {
    pub(super) exclude: Vec<String>,
    pub(super) embeddings: bool,
    pub(super) range: WeightRange,
    pub(super) block: usize,
    pub(super) symmetric: bool,
    pub(super) keep_io_types: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            embeddings: true,
            range: WeightRange::default(),
            block: 32,
            symmetric: true,
            keep_io_types: true,
        }
    }
}

impl Options {
    /// Leaves nodes whose name, or first output where they have none, matches the regular expression; may be given several
    /// times.
    ///
    /// Defaults to none.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Whether the tables that `Gather` reads are quantized, too. In a model for many languages they are half of it.
    ///
    /// Defaults to `true`.
    pub fn embeddings(mut self, embeddings: bool) -> Self {
        self.embeddings = embeddings;
        self
    }

    /// How 8-bit weights are laid out.
    ///
    /// Defaults to [`WeightRange::Unsigned`].
    pub fn range(mut self, range: WeightRange) -> Self {
        self.range = range;
        self
    }

    /// Inputs that share one scale in [`Int4`](Scheme::Int4): 16, 32, 64, 128 or 256. A scale takes 32 bits.
    ///
    /// Defaults to 32.
    pub fn block(mut self, block: usize) -> Self {
        self.block = block;
        self
    }

    /// Whether blocks of [`Int4`](Scheme::Int4) lie around zero. Otherwise each has a zero point of 4 bits more.
    ///
    /// Defaults to `true`.
    pub fn symmetric(mut self, symmetric: bool) -> Self {
        self.symmetric = symmetric;
        self
    }

    /// Whether inputs and outputs of the model stay 32-bit floats in [`Float16`](Scheme::Float16).
    ///
    /// Defaults to `true`.
    pub fn keep_io_types(mut self, keep: bool) -> Self {
        self.keep_io_types = keep;
        self
    }

    /// The patterns of [`exclude`](Self::exclude), and a check of the rest.
    pub(super) fn check(&self) -> Result<Vec<Regex>> {
        if ![16, 32, 64, 128, 256].contains(&self.block) {
            let value = self.block.to_string();
            return Err(Error::Option { option: "block", value, expected: "16, 32, 64, 128 or 256" });
        }
        let wrong = |pattern: &String| Error::Option {
            option: "exclude",
            value: pattern.clone(),
            expected: "a regular expression",
        };
        self.exclude.iter().map(|pattern| Regex::new(pattern).map_err(|_| wrong(pattern))).collect()
    }
}
