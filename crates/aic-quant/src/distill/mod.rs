//! Distillation: a smaller model learns from a larger one.
//!
//! The student starts as some of the teacher's layers ([`Distillation::layers`]) or as a model of its own
//! ([`Distillation::student`], for one that pruning has made smaller and worse), and is trained on texts to answer as the
//! teacher does. What comes out is a GGUF file with the teacher's tokenizer that [`Model`](crate::Model) runs and
//! a [`Quantizer`](crate::Quantizer) makes smaller still.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use aic_quant::{distill::Distillation, gguf};
//!
//! let teacher = gguf::File::open("teacher.gguf")?;
//! let texts = std::fs::read_to_string("texts.txt").unwrap_or_default();
//! let distilled = Distillation::new(&teacher)
//!     .layers(2)
//!     .steps(2000)
//!     .temperature(2.0)
//!     .checkpoint("student.checkpoint")
//!     .run(texts.split("\n\n"), "student.gguf", |progress| {
//!         println!("step {}: loss {:.3}", progress.step, progress.loss);
//!         ControlFlow::Continue(())
//!     })?;
//! if let Some(best) = distilled.best {
//!     println!("perplexity {:.2}, the teacher's {:.2}", best.perplexity(), best.teacher_perplexity());
//! }
//! # Ok::<(), aic_quant::Error>(())
//! ```
//!
//! It takes the same families of models as [`Model`](crate::Model) and computes in 32-bit numbers; a teacher in a quantized
//! type stays so. Memory goes to the teacher, to 16 bytes for each of the student's numbers, to the student's
//! intermediate results, which grow with `batch_tokens`, and to a quarter of a gigabyte of logits.
mod checkpoint;
mod corpus;
mod distillation;
mod export;
mod network;
mod objective;
mod optimizer;
mod report;
mod schedule;
mod student;
#[cfg(test)]
mod tests;
mod training;

pub use distillation::Distillation;
pub use objective::Objective;
pub use report::{Distilled, HeldOut, Progress};
