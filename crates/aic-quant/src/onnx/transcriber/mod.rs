mod mel;
mod segments;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokenizers::Tokenizer;

pub use segments::Segment;

use self::mel::{HOP, Mel, SAMPLE_RATE};
use self::segments::divide;
use super::folder::{Folder, failed};
use super::generate::{Config, Decoder, Patience, Rules, Search, Settings, State, Timestamps};
use super::translator::tokens;
use super::{Session, SessionOptions, Tensor};
use crate::{Error, Result};

/// A model of the Whisper kind, which writes down speech or translates it to English.
///
/// It is a folder as Hugging Face's `optimum` exports it: `encoder_model.onnx`, `decoder_model_merged.onnx` or `decoder_model.onnx`
/// with `decoder_with_past_model.onnx`, `config.json`, `generation_config.json`, `preprocessor_config.json` and `tokenizer.json`; the
/// models may lie in its folder `onnx`.
///
/// ```no_run
/// use aic_quant::onnx::{TranscribeOptions, Transcriber};
///
/// # let samples = [0.0_f32; 16_000];
/// let transcriber = Transcriber::open("whisper-base-onnx")?;
/// let transcript = transcriber.transcribe(&samples, &TranscribeOptions::new().language("de"))?;
/// println!("{} ({:.2} of real time)", transcript.text, transcript.real_time_factor());
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Transcriber {
    encoder: Session,
    decoder: Decoder,
    config: Config,
    tokenizer: Tokenizer,
    mel: Mel,
    /// 10 ms frames that the encoder takes.
    frames: usize,
}

/// How speech is transcribed.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct TranscribeOptions {
    language: Option<String>,
    translate: bool,
    timestamps: bool,
    beams: Option<usize>,
    max_tokens: Option<usize>,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transcript {
    /// All of it.
    pub text: String,
    /// It in parts: one for each window, and with timestamps as the model divides it.
    pub segments: Vec<Segment>,
    /// The language, given or heard in the first window: `de`. `None` for a model of one language.
    pub language: Option<String>,
    /// How long the sound is.
    pub sound: Duration,
    /// How long it took.
    pub elapsed: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Preprocessor {
    feature_size: Option<usize>,
    sampling_rate: Option<usize>,
    hop_length: Option<usize>,
    n_fft: Option<usize>,
    nb_max_frames: Option<usize>,
}

/// What is the same for all windows of a sound.
struct Task {
    prompt: Vec<u32>,
    settings: Settings,
    /// The first timestamp, if they are wanted.
    stamps: Option<u32>,
}

impl Transcript {
    /// The time it took, divided by the length of the sound: below 1 is faster than speech.
    pub fn real_time_factor(&self) -> f64 {
        self.elapsed.as_secs_f64() / self.sound.as_secs_f64()
    }
}

impl Transcriber {
    /// Loads the model in the folder `path` with the default [`SessionOptions`].
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, &SessionOptions::new())
    }

    /// Loads the model in the folder `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing or cannot be read; [`Error::NotAModel`] if the decoder has no cache;
    /// [`Error::Malformed`], [`Error::Metadata`] and [`Error::Tokenizer`] if a file is not what it should be;
    /// those of [`SessionOptions::open`].
    pub fn with_options(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self> {
        let folder = Folder::open(path.as_ref())?;
        let (config, preprocessor) =
            (Config::read(&folder)?, folder.settings::<Preprocessor>("preprocessor_config.json")?);
        let encoder = folder.session("encoder_model.onnx", options)?;
        let (bands, frames) = preprocessor.check(&encoder)?;
        let (tokenizer, decoder) = (folder.tokenizer()?, Decoder::open(&folder, options)?);
        Ok(Self { encoder, decoder, config, tokenizer, mel: Mel::new(bands), frames })
    }

    /// Writes down `samples`: one channel, 16,000 a second, -1 to 1. Longer sounds than the model's window, 30 s, are heard one window
    /// after the other.
    ///
    /// # Errors
    /// As [`transcribe_streaming`](Self::transcribe_streaming).
    pub fn transcribe(&self, samples: &[f32], options: &TranscribeOptions) -> Result<Transcript> {
        self.transcribe_streaming(samples, options, |_| ControlFlow::Continue(()))
    }

    /// Writes down `samples`, and tells `on_segment` each segment when it is known. `on_segment` can stop everything.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are no samples; [`Error::Option`] if an option is out of its range or the language none of the model's;
    /// [`Error::Metadata`] if the model lacks a token that is needed; [`Error::Stopped`] if `on_segment` breaks; those of
    /// [`Session::run`].
    pub fn transcribe_streaming(
        &self,
        samples: &[f32],
        options: &TranscribeOptions,
        mut on_segment: impl FnMut(&Segment) -> ControlFlow<()>,
    ) -> Result<Transcript> {
        let started = Instant::now();
        if samples.is_empty() {
            return Err(Error::Empty { what: "sound" });
        }
        let (mut at, mut segments, mut task) = (0, Vec::new(), None);
        let mut language = options.language.clone();
        while at < samples.len() {
            let state = self.encode(&samples[at..])?;
            if task.is_none() {
                language = self.language(language, &state)?;
                task = Some(self.task(language.as_deref(), options)?);
            }
            let task = task.as_ref().expect("it was made for the first window");
            let (found, heard) = self.window(state, task, at, samples.len())?;
            for segment in found {
                if on_segment(&segment).is_break() {
                    return Err(Error::Stopped { what: "transcribing" });
                }
                segments.push(segment);
            }
            at += heard;
        }
        let text = segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned();
        Ok(Transcript { text, segments, language, sound: time_of(samples.len()), elapsed: started.elapsed() })
    }

    /// The encoder's output for the first window of `samples`.
    fn encode(&self, samples: &[f32]) -> Result<State> {
        let window = &samples[..samples.len().min(self.frames * HOP)];
        let mel = self.mel.spectrogram(window, self.frames);
        let features = Tensor::new("input_features", &[1, mel.len() / self.frames, self.frames], mel);
        State::new(self.encoder.run([&features])?, None, 1)
    }

    /// The segments of a window that starts at sample `at` of `end`, and how many samples of it are done with.
    fn window(&self, state: State, task: &Task, at: usize, end: usize) -> Result<(Vec<Segment>, usize)> {
        let search = Search { decoder: &self.decoder, prompt: &task.prompt, settings: &task.settings };
        let found = search.run(state, &mut |_, _| ControlFlow::Continue(()))?;
        let tokens = found.into_iter().next().map(|answer| answer.tokens).unwrap_or_default();
        let answer = tokens.get(task.prompt.len()..).unwrap_or_default();
        let ended = answer.iter().position(|token| task.settings.ends.contains(token));
        let answer = &answer[..ended.unwrap_or(answer.len())];
        // A timestamp counts two frames, one position of the encoder.
        let (spans, next) = divide(answer, task.stamps.unwrap_or(u32::MAX), self.frames / 2);
        let moment = |step: usize| time_of((at + step * 2 * HOP).min(end));
        let segment = |span: segments::Span| {
            let text = self.tokenizer.decode(&span.tokens, true).map_err(failed("decode tokens"))?;
            Ok(Segment { start: moment(span.start), end: moment(span.end), text, tokens: span.tokens })
        };
        Ok((spans.into_iter().map(segment).collect::<Result<_>>()?, next * 2 * HOP))
    }

    /// The language given, or the likeliest of the model's.
    fn language(&self, given: Option<String>, state: &State) -> Result<Option<String>> {
        let languages =
            self.config.lang_to_id.as_ref().filter(|_| self.config.is_multilingual != Some(false));
        let Some(languages) = languages else { return Ok(None) };
        if given.is_some() {
            return Ok(given);
        }
        let start = [self.config.start()?];
        let logits = self.decoder.step(&mut state.clone(), &[&start])?;
        let score = |token: u32| logits.values.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let likeliest = languages.iter().max_by(|a, b| score(*a.1).total_cmp(&score(*b.1)));
        Ok(likeliest.map(|(name, _)| name.trim_matches(['<', '|', '>']).to_owned()))
    }

    fn task(&self, language: Option<&str>, options: &TranscribeOptions) -> Result<Task> {
        let config = &self.config;
        let missing = |key: &str| Error::metadata(key, "is missing in generation_config.json");
        let mut prompt = vec![config.start()?];
        if let (Some(language), Some(languages)) = (language, &config.lang_to_id) {
            let token = languages.get(&format!("<|{language}|>")).ok_or_else(|| Error::Option {
                option: "language",
                value: format!("`{language}`"),
                expected: "a code of the model's generation_config.json, such as de or en",
            })?;
            let name = if options.translate { "translate" } else { "transcribe" };
            let task = config.task_to_id.as_ref().and_then(|tasks| tasks.get(name));
            prompt.extend([*token, *task.ok_or_else(|| missing("task_to_id"))?]);
        }
        let no_timestamps = config.no_timestamps_token_id.ok_or_else(|| missing("no_timestamps_token_id"))?;
        let first = no_timestamps.saturating_add(1);
        if !options.timestamps {
            prompt.push(no_timestamps);
        }
        let settings = self.settings(options, prompt.len(), first)?;
        Ok(Task { prompt, settings, stamps: options.timestamps.then_some(first) })
    }

    fn settings(&self, options: &TranscribeOptions, prompt: usize, first: u32) -> Result<Settings> {
        let config = &self.config;
        let beams = options.beams.or(config.num_beams).unwrap_or(1);
        if !(1..=64).contains(&beams) {
            return Err(Error::Option { option: "beams", value: beams.to_string(), expected: "1 to 64" });
        }
        let ends = config.ends()?;
        let mut suppressed = tokens(config.suppress_tokens.as_deref());
        let timestamps = Timestamps { first, end: ends[0], initial: config.max_initial_timestamp_index };
        if !options.timestamps {
            // A model asked for none would otherwise now and then give one, which is no text.
            suppressed.extend((0..=self.frames as u32 / 2).map(|step| first.saturating_add(step)));
        }
        let rules = Rules {
            suppressed,
            suppressed_first: tokens(config.begin_suppress_tokens.as_deref()),
            timestamps: options.timestamps.then_some(timestamps),
            ..Rules::default()
        };
        let most = config.max_length.or(config.max_target_positions).unwrap_or(448);
        let wanted = options.max_tokens.map_or(most, |tokens| tokens.saturating_add(prompt));
        let max_length = wanted.min(config.max_target_positions.unwrap_or(usize::MAX));
        if max_length <= prompt {
            let value = max_length.saturating_sub(prompt).to_string();
            return Err(Error::Option { option: "max_tokens", value, expected: "at least 1" });
        }
        Ok(Settings { beams, length_penalty: 1.0, patience: Patience::Usual, max_length, ends, rules })
    }
}

impl Preprocessor {
    /// The mel bands and the frames that the model takes; the encoder knows both, if the file does not say.
    fn check(&self, encoder: &Session) -> Result<(usize, usize)> {
        let expected = [
            ("sampling_rate", self.sampling_rate, SAMPLE_RATE),
            ("hop_length", self.hop_length, HOP),
            ("n_fft", self.n_fft, 400),
        ];
        for (key, value, expected) in expected {
            if let Some(value) = value.filter(|value| *value != expected) {
                return Err(Error::metadata(
                    key,
                    format!("is {value}; models of the Whisper kind have {expected}"),
                ));
            }
        }
        let shape = encoder.inputs().first().map(|input| input.shape.as_slice());
        let (bands, frames) = match shape {
            Some([_, bands, frames]) => (*bands, *frames),
            _ => (None, None),
        };
        let bands = bands.or(self.feature_size).unwrap_or(80);
        let frames = frames.or(self.nb_max_frames).unwrap_or(3000);
        if !(1..=512).contains(&bands) || !(2..=30_000).contains(&frames) {
            let problem = format!("and nb_max_frames are {bands} and {frames}, expected 80 or 128 and 3000");
            return Err(Error::metadata("feature_size", problem));
        }
        Ok((bands, frames))
    }
}

impl TranscribeOptions {
    /// The defaults that each setter states.
    pub fn new() -> Self {
        Self::default()
    }

    /// The language that is spoken, by its code: `de`. Models of one language do not look at it.
    ///
    /// Defaults to what the model hears in the first window.
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// Translates to English. Defaults to false.
    pub fn translate(mut self, translate: bool) -> Self {
        self.translate = translate;
        self
    }

    /// Divides the text at the times that the model gives, and hears a sentence again that the end of a window cut.
    ///
    /// Defaults to false: windows follow each other without overlap, and the text of each is a segment.
    pub fn timestamps(mut self, timestamps: bool) -> Self {
        self.timestamps = timestamps;
        self
    }

    /// Beams of the search, 1 to 64; 1 takes the likeliest token each time.
    ///
    /// Defaults to the model's, else 1.
    pub fn beams(mut self, beams: usize) -> Self {
        self.beams = Some(beams);
        self
    }

    /// Most tokens of a window's text; never more than the model has positions.
    ///
    /// Defaults to the model's.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }
}

fn time_of(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / SAMPLE_RATE as f64)
}
