use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::keeper::{Load, Loader};
use super::model::{CacheShape, Form, ModelSpec};
use crate::engine::Config;
use crate::{CacheType, DType, Device, Error, Model, ModelOptions, Result, footprint};

/// What runs the models, for the errors of estimates that are learned.
const BACKEND: &str = "aic";

/// The shortest context that is offered where a longer one is wanted, in tokens.
const LEAST_CONTEXT: usize = 256;

/// A [`Loader`] for the models of this crate: it knows their files, and has them in memory as its [`Keeper`](super::Keeper)
/// says.
///
/// Each model is [added](Self::add) with its files, the best one first, and with options that hold for all of them; the
/// [`ModelSpec`] that comes back is for the [`Residency`](super::Residency), and says what the engine's own
/// [`footprint`] says. Device, context and the type of keys and values are those of the form that the model gets; whether it
/// fits is for the keeper to find out, and is not asked again. Nothing is read but the files' headers until a model is wanted.
///
/// A model that becomes smaller, or larger again, keeps its weights and reads nothing ([`Model::resized`]). A loaded model counts
/// with its keys and values as if they filled the cache, so that a long conversation finds its room.
///
/// ```no_run
/// use std::time::Duration;
///
/// use aic_quant::residency::{Experience, Keeper, Models, Policy, Residency};
/// use aic_quant::{GenerateOptions, Message, ModelOptions, SystemMemory};
///
/// // Two models, one of them in two sizes; neither is loaded yet.
/// let mut models = Models::new();
/// let mut residency = Residency::new(Policy::default(), Experience::new("laptop"))?;
/// let options = ModelOptions::new().max_context(8192);
/// residency.register(models.add("chat", ["qwen3-8b-q8_0.gguf", "qwen3-8b-q4_k.gguf"], options.clone())?)?;
/// residency.register(models.add("code", ["codellama-7b-q4_k.gguf"], options)?.pinned(true))?;
/// let mut keeper = Keeper::new(residency, models, SystemMemory);
///
/// // Each request has its model in memory for as long as it takes; others give way if they must.
/// let now = Duration::from_secs(9 * 3600); // counted from midnight
/// let form = keeper.acquire("chat", now)?;
/// println!("answering with {form}"); // `qwen3-8b-q8_0 on cpu, context 8192 in F16`
/// if let Some(model) = keeper.loader().get("chat") {
///     for piece in model.generate(&[Message::user("Why is the sky blue?")], &GenerateOptions::default())? {
///         print!("{}", piece?.text);
///     }
/// } // the model is let go of before it is released, so that unloading it frees its memory
/// keeper.release("chat", None, now + Duration::from_secs(5));
///
/// // About once a second: what is idle goes, what had become smaller grows again.
/// keeper.tick(now + Duration::from_secs(6));
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Default)]
pub struct Models {
    known: BTreeMap<String, Known>,
    loaded: BTreeMap<String, Model>,
}

/// A model that can be loaded.
struct Known {
    options: ModelOptions,
    spec: ModelSpec,
    variants: Vec<Variant>,
}

/// One of a model's files.
struct Variant {
    name: String,
    path: PathBuf,
}

/// What a file's header says of its model.
struct Header {
    architecture: &'static str,
    shape: CacheShape,
    context: usize,
    weights_bytes: u64,
    working_bytes: u64,
}

impl Models {
    /// One that knows no models yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a model known that can be loaded from any of `files`, the best one first: GGUF files or Hugging Face folders.
    ///
    /// The spec that comes back is to be registered, changed or as it is. It has a variant for each file, called by the file's
    /// name without its ending, or by its path where names are the same; the device and the context of `options`; and as least
    /// context a quarter of that, but no less than 256 tokens where more are wanted.
    ///
    /// # Errors
    /// [`Error::Option`] if the name is taken, there are no files, one is named twice, or they are not of one model, or if the
    /// context of `options` is below 2; whatever is wrong with a file.
    pub fn add<P: Into<PathBuf>>(
        &mut self,
        name: impl Into<String>,
        files: impl IntoIterator<Item = P>,
        options: ModelOptions,
    ) -> Result<ModelSpec> {
        let name = name.into();
        if self.known.contains_key(&name) {
            let (option, value) = ("model", format!("`{name}`"));
            return Err(Error::Option { option, value, expected: "a name that no other model has" });
        }
        options.check()?;
        let files: Vec<PathBuf> = files.into_iter().map(Into::into).collect();
        let variants = variants(&files)?;
        let spec = spec(&name, &variants, &options)?;
        self.known.insert(name, Known { options, spec: spec.clone(), variants });
        Ok(spec)
    }

    /// The model of this name, if it is in memory.
    ///
    /// What is cloned from it keeps the memory that [`unload`](Loader::unload) and [`resize`](Loader::resize) would free: drop it
    /// before the request is released.
    pub fn get(&self, name: &str) -> Option<Model> {
        self.loaded.get(name).cloned()
    }

    fn known(&self, name: &str) -> Result<&Known> {
        self.known.get(name).ok_or_else(|| Error::Option {
            option: "model",
            value: format!("`{name}`"),
            expected: "one that was added",
        })
    }
}

impl Loader for Models {
    fn load(&mut self, model: &str, form: &Form) -> Result<Load> {
        let started = Instant::now();
        let known = self.known(model)?;
        let loaded = known.options(form)?.open(known.path(&form.variant)?)?;
        let load = Load { bytes: known.bytes(form), took: started.elapsed() };
        self.loaded.insert(model.to_owned(), loaded);
        Ok(load)
    }

    fn unload(&mut self, model: &str) {
        self.loaded.remove(model);
    }

    fn resize(&mut self, model: &str, form: &Form) -> Result<Option<u64>> {
        let known = self.known(model)?;
        let loaded = self.loaded.get(model).ok_or_else(|| Error::Option {
            option: "model",
            value: format!("`{model}`"),
            expected: "one that is in memory",
        })?;
        let bytes = known.bytes(form);
        let resized = loaded.resized(tokens(form.context), cache_type(form.cache)?)?;
        self.loaded.insert(model.to_owned(), resized);
        Ok(bytes)
    }
}

impl Known {
    /// How the model is loaded as `form`, so that it can grow to what was wanted.
    fn options(&self, form: &Form) -> Result<ModelOptions> {
        let conversations = self.spec.cache.map_or(1, |shape| shape.sequences);
        let options = self.options.clone().device(form.device).cache_type(cache_type(form.cache)?);
        Ok(options
            .max_context(tokens(form.context))
            .growing_to(tokens(self.spec.context))
            .cache_tokens(tokens(form.context.saturating_mul(conversations)))
            .unchecked_memory())
    }

    fn path(&self, variant: &str) -> Result<&Path> {
        let found = self.variants.iter().find(|known| known.name == variant);
        found.map(|variant| variant.path.as_path()).ok_or_else(|| Error::Option {
            option: "variant",
            value: format!("`{variant}`"),
            expected: "one of the model's files",
        })
    }

    /// What the model takes in `form`: on the processor every part was counted as it is laid out.
    fn bytes(&self, form: &Form) -> Option<u64> {
        (form.device == Device::Cpu).then(|| self.spec.bytes(form))
    }
}

/// Names the files, each by its own name if no other file has the same.
fn variants(files: &[PathBuf]) -> Result<Vec<Variant>> {
    let wrong = |value: String, expected| Err(Error::Option { option: "files", value, expected });
    if files.is_empty() {
        return wrong("an empty list".to_owned(), "at least one model file");
    }
    let twice = files.iter().enumerate().find(|(at, path)| files[..*at].contains(path));
    if let Some((_, path)) = twice {
        return wrong(format!("`{}` twice", path.display()), "each file once");
    }
    let named = |path: &PathBuf| {
        let alone = files.iter().filter(|other| other.file_stem() == path.file_stem()).count() == 1;
        let stem = path.file_stem().filter(|_| alone).map(|stem| stem.to_string_lossy().into_owned());
        Variant { name: stem.unwrap_or_else(|| path.display().to_string()), path: path.clone() }
    };
    Ok(files.iter().map(named).collect())
}

fn spec(name: &str, variants: &[Variant], options: &ModelOptions) -> Result<ModelSpec> {
    let headers: Vec<Header> =
        variants.iter().map(|variant| Header::read(&variant.path, options)).collect::<Result<_>>()?;
    let first = &headers[0];
    let other = variants.iter().zip(&headers).find(|(_, header)| !header.is_of_one_model_with(first));
    if let Some((variant, _)) = other {
        return Err(Error::Option {
            option: "files",
            value: format!("`{}` beside `{}`", variant.path.display(), variants[0].path.display()),
            expected: "files of one model, with the same architecture, layers, heads and context",
        });
    }
    let least = (first.context / 4).max(LEAST_CONTEXT).min(first.context);
    let spec = ModelSpec::new(name)
        .family(first.architecture, BACKEND)
        .devices([options.device])
        .working_bytes(headers.iter().map(|header| header.working_bytes).max().unwrap_or(0))
        .cache(first.shape, first.context as u64, least as u64);
    let weights = variants.iter().zip(&headers);
    Ok(weights.fold(spec, |spec, (variant, header)| spec.variant(&variant.name, header.weights_bytes)))
}

impl Header {
    fn read(path: &Path, options: &ModelOptions) -> Result<Self> {
        let source = crate::open(path)?;
        let config = Config::new(&*source)?;
        let footprint = footprint(&*source, options)?;
        Ok(Self {
            architecture: config.architecture.name(),
            shape: shape(&config, options),
            context: options.context(&config),
            weights_bytes: footprint.weights_bytes,
            working_bytes: footprint.working_bytes,
        })
    }

    fn is_of_one_model_with(&self, other: &Self) -> bool {
        (self.architecture, self.shape, self.context) == (other.architecture, other.shape, other.context)
    }
}

/// Keys and values as the engine lays them out: windows do not shorten them, and all conversations share one store.
fn shape(config: &Config, options: &ModelOptions) -> CacheShape {
    let (heads, head_size) = match options.device {
        Device::Cpu => (config.kv_heads, config.head_size),
        // Elsewhere they are 32-bit numbers, twice as many bytes as those of F16, whatever type is asked for: no block fits a
        // head of two.
        _ => (config.kv_size(), 2),
    };
    let sequences = options.positions(config).div_ceil(options.context(config).max(1));
    CacheShape {
        layers: config.layers as u64,
        heads: heads as u64,
        head_size: head_size as u64,
        sequences: sequences as u64,
        ..CacheShape::default()
    }
}

fn cache_type(dtype: DType) -> Result<CacheType> {
    match dtype {
        DType::F16 => Ok(CacheType::F16),
        DType::Q8_0 => Ok(CacheType::Q8_0),
        DType::Q4_0 => Ok(CacheType::Q4_0),
        other => {
            Err(Error::Option { option: "cache", value: other.to_string(), expected: "F16, Q8_0 or Q4_0" })
        }
    }
}

fn tokens(context: u64) -> usize {
    usize::try_from(context).unwrap_or(usize::MAX)
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models")
            .field("known", &self.known.keys())
            .field("loaded", &self.loaded.keys())
            .finish()
    }
}
