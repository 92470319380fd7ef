//! Taking weights, heads, channels or layers out of a model.
//!
//! [`Pruned`] is a model as it is after a [`Method`]: a [`TensorSource`] like any other, so that it can be loaded, quantized,
//! written to a file, or pruned again. Nothing is computed before it is read.
//!
//! There are two kinds of pruning, and they buy different things:
//!
//! - [`Method::Weights`] sets single weights to zero. The file keeps its size and this engine its speed, because a zero takes
//!   as much room and time as any number; what zeros bring is a smaller file once it is packed.
//! - [`Method::Heads`], [`Method::Channels`] and [`Method::Layers`] take whole parts out. The model becomes smaller and faster
//!   everywhere it runs, and loses more for each weight.
//!
//! Half of a model's weights cost it far more than quantizing it to four bits does: measure what was lost
//! ([`Model::perplexity`](crate::Model::perplexity)) before using the result.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use aic_quant::prune::{Method, Pattern, Pruned, Saliency};
//! use aic_quant::{Importance, Plan, Quantizer, gguf};
//!
//! # let importance = Importance::new();
//! let source = gguf::File::open("model-f16.gguf")?;
//! // `importance` is what a `Calibration` of the same model found.
//! let method = Method::Weights { saliency: Saliency::Wanda(&importance), pattern: Pattern::Rows { share: 0.5 } };
//! let pruned = Pruned::new(&source, &method)?;
//! println!("{}", pruned.report()?);
//! let plan = Plan::keep(&pruned)?;
//! Quantizer::new(&plan).run(&pruned, "model-half.gguf", |_| ControlFlow::Continue(()))?;
//! # Ok::<(), aic_quant::Error>(())
//! ```
//!
//! [`TensorSource`]: crate::TensorSource
mod cut;
mod layers;
mod pruned;
mod report;
mod rows;
mod saliency;
mod structure;
#[cfg(test)]
mod tests;
mod threshold;
mod zeros;

pub use pruned::Pruned;
pub use report::{Report, Sparsity};
pub use saliency::Saliency;
pub use zeros::Pattern;

/// What is taken out of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method<'a> {
    /// Sets the weights of least score to zero, in every matrix of every layer; embedding and output matrix stay whole.
    ///
    /// [`Saliency::Wanda`] and the choice of comparing the weights of one output with each other come from
    /// [Sun et al. 2023](https://arxiv.org/abs/2306.11695), section 3. Unlike theirs, a layer's inputs are those of the whole
    /// model, not of the model whose earlier layers are pruned already.
    Weights {
        /// How much a weight matters.
        saliency: Saliency<'a>,
        /// Which weights are compared, and how many of them go.
        pattern: Pattern,
    },
    /// Keeps this many key-value heads of each layer, each with all query heads that share it.
    ///
    /// A head's score is the sum of squares of the scores of the weights that its output meets: with [`Saliency::Wanda`]
    /// its mean contribution to the layer's output. [An et al. 2023](https://arxiv.org/abs/2312.11983) call this Wanda-sp. Layers keep different heads, but all the same number.
    Heads {
        /// How much a weight matters.
        saliency: Saliency<'a>,
        /// Key-value heads each layer keeps, at least 1.
        keep: usize,
    },
    /// Keeps this many channels of each layer's feed-forward network, scored as [`Heads`](Self::Heads) are.
    ///
    /// Multiples of 256 can be quantized to every type, multiples of 32 to those with blocks of 32.
    Channels {
        /// How much a weight matters.
        saliency: Saliency<'a>,
        /// Channels each layer keeps, at least 1.
        keep: usize,
    },
    /// Takes out the layers of these indices; those that stay are numbered anew.
    Layers {
        /// Indices of layers, from 0, in any order.
        remove: Vec<usize>,
    },
}

impl Method<'_> {
    /// Takes out the `count` layers of least `influence`, which [`Calibration::influence`] measures: the one-shot pruning of
    /// [ShortGPT](https://arxiv.org/abs/2403.03853). Of equal layers the later goes.
    ///
    /// [`Calibration::influence`]: crate::Calibration::influence
    pub fn least_influential(influence: &[f64], count: usize) -> Self {
        let mut layers: Vec<usize> = (0..influence.len()).rev().collect();
        layers.sort_by(|a, b| influence[*a].total_cmp(&influence[*b]));
        layers.truncate(count);
        Self::Layers { remove: layers }
    }
}
