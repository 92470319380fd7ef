//! GGUF files: metadata and tensors in one file, as llama.cpp defined it.
//!
//! [`File`] reads versions 2 and 3 from a path or from memory and keeps the order of everything; [`Writer`] writes
//! version 3. Bytes from outside are hostile until checked: every length is compared with what is left of the file
//! before anything is allocated, and all arithmetic is checked.
//!
//! Specification: [gguf.md](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). [`File::open`] takes what llama.cpp
//! takes: keys and tensor names are unique, and the data of the tensors follow one another in the order of the header,
//! with no gap but the alignment; and it asks for what files in the wild never lack: strings are UTF-8, flags are 0 or 1,
//! arrays do not nest, tensors have a dimension. [`File::open_lenient`] lets pass what can be read without guessing, and
//! keeps a [`Warning`] of each.
//!
//! A model in several files, `name-00001-of-00003.gguf` and so on, is a [`Split`].
//!
//! ```
//! use aic_quant::{DType, gguf};
//!
//! let mut metadata = gguf::Metadata::new();
//! metadata.insert("general.architecture", "llama");
//! let mut writer = gguf::Writer::new(metadata);
//! writer.tensor("output_norm.weight", &[4], DType::F32)?;
//! let bytes = writer.to_vec(|_tensor| Ok([1.0_f32; 4].iter().flat_map(|x| x.to_le_bytes()).collect()))?;
//!
//! let file = gguf::File::from_bytes(bytes)?;
//! assert_eq!(file.metadata().string("general.architecture")?, Some("llama"));
//! assert_eq!(file.tensors()[0].shape, [4]);
//! # Ok::<(), aic_quant::Error>(())
//! ```
mod bytes;
mod cursor;
mod file;
mod layout;
mod metadata;
mod split;
mod value;
mod warning;
mod writer;

pub use bytes::Bytes;
pub use file::File;
pub use layout::Layout;
pub use metadata::Metadata;
pub(crate) use split::is_shard;
pub use split::{Split, shard_path};
pub use value::{Array, Value};
pub use warning::Warning;
pub use writer::Writer;

/// First bytes of every GGUF file.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// The version [`Writer`] writes.
const VERSION: u32 = 3;
/// Where tensors start if the file does not say otherwise: at multiples of this many bytes.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Largest alignment. The format has no limit, and padding to a large one makes a small hostile file a huge one.
const ALIGNMENT_LIMIT: u32 = 1 << 20;
/// The metadata key that says otherwise.
const ALIGNMENT_KEY: &str = "general.alignment";
/// The metadata key of a whole `tokenizer.json` as text; what Hugging Face folders bring along.
pub(crate) const HUGGING_FACE_KEY: &str = "tokenizer.huggingface.json";
/// Longest key, in bytes.
const KEY_LIMIT: usize = 65_535;
/// Longest tensor name, in bytes; llama.cpp keeps 64 with the final zero.
const NAME_LIMIT: usize = 63;
/// Most dimensions of a tensor.
const DIMENSION_LIMIT: usize = 4;

/// What happens to a file with something wrong in it that could be lived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It is refused.
    Strict,
    /// It is read, and the wrong told.
    Lenient,
}

/// Whether data may be aligned to multiples of `n` bytes.
fn is_alignment(n: u64) -> bool {
    n.is_power_of_two() && n <= ALIGNMENT_LIMIT.into()
}

/// `offset` rounded up to a multiple of `alignment`, or `None` past the end of `u64`.
fn align_up(offset: u64, alignment: u64) -> Option<u64> {
    offset.checked_next_multiple_of(alignment)
}
