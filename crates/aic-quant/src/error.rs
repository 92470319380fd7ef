use std::path::PathBuf;

use crate::DType;

/// A cause from another library, boxed so that its version is not part of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while reading, quantizing or running a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`, `rename` …
        action: &'static str,
        /// The file it was tried on; `<memory>` for a model held in memory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The disk has no room for the file.
    #[error("no room for `{}`{}; free some, or write to another disk", path.display(), missing(*needed_bytes, *free_bytes))]
    NoSpace {
        /// The file being written.
        path: PathBuf,
        /// How large it becomes, where that is known.
        needed_bytes: Option<u64>,
        /// How much the disk had free, where that is known.
        free_bytes: Option<u64>,
    },
    /// Another process, or thread, is writing the same file.
    #[error("`{}` is being written already; wait for it, or choose another target", path.display())]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
    /// The work was stopped by whoever asked for it.
    #[error("{what} was stopped")]
    Stopped {
        /// `quantizing`, `calibration` …
        what: &'static str,
    },
    /// Somebody else's code panicked.
    #[error("{what} panicked; the panic's message was printed when it happened")]
    Panicked {
        /// Whose code it was.
        what: &'static str,
    },
    /// What was written did not come back, or is no better than zeros.
    #[error("tensor `{name}` {problem} `{}`; the disk or the memory may be failing: try again, or elsewhere", path.display())]
    Unfaithful {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The file it was written to.
        path: PathBuf,
    },
    /// The bytes of a model file contradict its format.
    #[error("malformed {format} file `{file}`, byte {offset}: {problem}")]
    Malformed {
        /// `GGUF`, `safetensors` …
        format: &'static str,
        /// The file's path, or `<memory>`.
        file: String,
        /// Where in the file, from its start.
        offset: u64,
        /// Which item is wrong, what it says and what was expected.
        problem: String,
    },
    /// A path that does not lead to a model, but to something known.
    #[error("`{}` is {what}, not a model; {advice}", path.display())]
    NotAModel {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Metadata is missing or has a value that cannot be used.
    #[error("metadata key `{key}` {problem}")]
    Metadata {
        /// The key.
        key: String,
        /// What is wrong with it, and what is expected.
        problem: String,
    },
    /// The model lacks a tensor its architecture needs.
    #[error("tensor `{name}` is missing")]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape or size than expected.
    #[error("tensor `{name}` {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it, and what is expected.
        problem: String,
    },
    /// A name that is not a tensor type.
    #[error("unknown tensor type `{name}`; try F16, Q8_0 (int8) or Q4_K (int4)")]
    UnknownDType {
        /// The name given.
        name: String,
    },
    /// A name that is neither a tensor type nor a mixture of them.
    #[error(
        "unknown recipe `{name}`; try int8, int4, Q4_K_M, a tensor type, or dynamic, and rules such as `,attn_v=q8_0`"
    )]
    UnknownRecipe {
        /// The name given.
        name: String,
    },
    /// The pattern of a rule is no regular expression.
    #[error("pattern `{pattern}` cannot be used")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: BoxError,
    },
    /// A rule is about no weight of the model.
    #[error("rule `{pattern}` matches no weight that can be quantized; names like it: {}", near.join(", "))]
    UnmatchedRule {
        /// The rule's pattern.
        pattern: String,
        /// The names most like it, best first.
        near: Vec<String>,
    },
    /// Tensors cannot have the types they were meant to get, and that was not allowed.
    #[error("{}", substituted(tensors))]
    Substituted {
        /// The tensors, each with its reason.
        tensors: Vec<crate::Planned>,
    },
    /// A budget is smaller than the model can become.
    #[error(
        "a budget of {budget_bytes} bytes is too small: the smallest types allowed need {needed_bytes}; raise it or allow smaller types"
    )]
    Budget {
        /// The budget.
        budget_bytes: u64,
        /// What the tensors need at least.
        needed_bytes: u64,
    },
    /// A tensor type that can be named but not computed with here.
    #[error("tensor type {dtype} cannot be {action}; supported are {supported}")]
    UnsupportedDType {
        /// The type.
        dtype: DType,
        /// `encoded`, `decoded` …
        action: &'static str,
        /// The types that work.
        supported: &'static str,
    },
    /// A kind of model, tokenizer or file this crate does not run.
    #[error("{what} `{name}` is not supported; supported are {supported}")]
    Unsupported {
        /// `architecture`, `tokenizer` …
        what: &'static str,
        /// Its name.
        name: String,
        /// The names that work.
        supported: &'static str,
    },
    /// An option is out of its range.
    #[error("option `{option}` is {value}; expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// The range it must lie in.
        expected: &'static str,
    },
    /// The device does not exist here, or this build cannot use it.
    #[error("device {device} is not available: {reason}")]
    Device {
        /// The device asked for.
        device: crate::Device,
        /// Why not, and what to do.
        reason: String,
    },
    /// The model does not fit the device's free memory.
    #[error(
        "the model needs about {} MiB on {device} and {} MiB are free; free memory, lower max_context, load a smaller type such as Q4_K, or split the layers between devices (device_layers)",
        needed_bytes / (1 << 20),
        free_bytes / (1 << 20)
    )]
    DoesNotFit {
        /// The device.
        device: crate::Device,
        /// Estimated need: weights, packed copies, key-value cache, activations.
        needed_bytes: u64,
        /// What the device had free.
        free_bytes: u64,
    },
    /// A model may not be loaded now.
    #[error("model `{model}` is not available: {reason}")]
    NotAdmitted {
        /// The model's name.
        model: String,
        /// Why, and what to do.
        reason: crate::residency::Refusal,
    },
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {tokens} tokens and the context holds {limit}; shorten it or raise max_context")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit, one of them reserved for the answer.
        limit: usize,
    },
    /// Too many requests wait to be answered.
    #[error(
        "the queue is full: {waiting} requests wait and {limit} may; try again later, or raise `waiting`"
    )]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// Requests that may wait.
        limit: usize,
    },
    /// A request was not started before it lost its use.
    #[error("the request waited for {:.1} s and was not started in its time; try again when fewer wait", waited.as_secs_f64())]
    Expired {
        /// How long it waited.
        waited: std::time::Duration,
    },
    /// There is nothing to work on.
    #[error("{what} is empty")]
    Empty {
        /// `prompt`, `text` …
        what: &'static str,
    },
    /// The tokenizer could not be built or refused a text.
    #[error("tokenizer failed to {action}")]
    Tokenizer {
        /// What it was doing.
        action: &'static str,
        /// The tokenizer library's reason.
        source: BoxError,
    },
    /// The chat template could not be parsed or rendered.
    #[error("chat template cannot be rendered")]
    Template {
        /// The template engine's reason.
        source: BoxError,
    },
    /// A constraint cannot be read, is too large, or cannot be followed with the model's vocabulary.
    #[error("the constraint on the answer cannot be followed; correct it, or make it simpler")]
    Constraint {
        /// What is wrong with it.
        source: BoxError,
    },
    /// The chat template objects to the conversation, for example to its roles.
    #[error("the chat template refuses the conversation: {reason}")]
    TemplateRefused {
        /// The template's own words.
        reason: String,
    },
    /// The tensor library failed.
    #[error("computation failed while {during}")]
    Compute {
        /// What was being computed.
        during: &'static str,
        /// The tensor library's reason.
        source: BoxError,
    },
    /// Training lost its way.
    #[error(
        "the loss is {loss} at step {step} with learning rate {learning_rate}; lower the learning rate, or warm up for longer"
    )]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// The loss; it can be a number while its slope is none.
        loss: f64,
        /// The learning rate of the step.
        learning_rate: f64,
    },
    /// The ONNX runtime library is missing, unsuitable, or refused a model.
    #[error("onnx: cannot {action}")]
    Onnx {
        /// What was tried, and what to do about it.
        action: String,
        /// The runtime's reason.
        source: BoxError,
    },
}

impl Error {
    /// An [`Error::Io`] as a closure for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }

    /// [`Error::NoSpace`] if the disk is full, otherwise [`Error::Io`], as a closure for `map_err`.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        use std::io::ErrorKind;
        move |error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::NoSpace { path: path.into(), needed_bytes: None, free_bytes: None }
            }
            _ => Self::io("write", path)(error),
        }
    }

    /// An [`Error::Metadata`] about `key`.
    pub(crate) fn metadata(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Metadata { key: key.into(), problem: problem.into() }
    }

    /// An [`Error::Tensor`] about `name`.
    pub(crate) fn tensor(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), problem: problem.into() }
    }
}

/// `: 12.0 MiB are needed and 3.0 MiB are free`, as far as that is known.
fn missing(needed: Option<u64>, free: Option<u64>) -> String {
    const MIB: f64 = (1 << 20) as f64;
    match (needed, free) {
        (Some(needed), Some(free)) => {
            format!(": it needs {:.1} MiB and {:.1} MiB are free", needed as f64 / MIB, free as f64 / MIB)
        }
        _ => String::new(),
    }
}

fn substituted(tensors: &[crate::Planned]) -> String {
    let one = |planned: &crate::Planned| {
        let reason = planned.reason.unwrap_or("of its shape");
        format!("`{}` gets {} in place of {}: {reason}", planned.tensor.name, planned.dtype, planned.wanted)
    };
    let all: Vec<String> = tensors.iter().map(one).collect();
    format!("{} tensors cannot have the type asked for; {}", all.len(), all.join("; "))
}
