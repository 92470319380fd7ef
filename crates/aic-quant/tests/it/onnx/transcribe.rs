use std::f64::consts::TAU;
use std::ops::ControlFlow;
use std::time::Duration;

use aic_quant::Error;
use aic_quant::onnx::{TranscribeOptions, Transcriber};
use serde::Deserialize;

use super::expected::{expected, folder};
use super::model::runtimes;

#[derive(Deserialize)]
struct Expected {
    runs: Vec<Run>,
    detected: u32,
}

#[derive(Deserialize)]
struct Run {
    seconds: f64,
    language: String,
    task: String,
    timestamps: bool,
    beams: usize,
    ids: Vec<u32>,
}

/// The first timestamp of the vocabulary; the model's language tokens are 31 and 32.
const FIRST: u32 = 39;

/// As `sound` of `make.py`.
fn sound(seconds: f64) -> Vec<f32> {
    let sample = |at: usize| {
        let time = at as f64 / 16_000.0;
        let chirp = 0.4 * (TAU * (200.0 + 300.0 * time) * time).sin();
        (chirp + 0.2 * (TAU * 1730.0 * time).sin() * (TAU * 3.0 * time).sin()) as f32
    };
    (0..(seconds * 16_000.0) as usize).map(sample).collect()
}

impl Run {
    fn options(&self) -> TranscribeOptions {
        let options = TranscribeOptions::new().language(&self.language).beams(self.beams).max_tokens(30);
        options.translate(self.task == "translate").timestamps(self.timestamps)
    }

    /// The words of the window up to where the next would start.
    fn words(&self) -> Vec<u32> {
        let stamp = |at: usize| self.ids.get(at).is_some_and(|token| *token >= FIRST);
        let pair = (1..self.ids.len()).rev().find(|at| stamp(at - 1) && stamp(*at));
        let ends_with_one = stamp(self.ids.len() - 1) && !stamp(self.ids.len() - 2);
        let end = pair.filter(|_| !ends_with_one).unwrap_or(self.ids.len());
        self.ids[..end].iter().copied().filter(|token| *token < FIRST && *token != 29).collect()
    }
}

#[test]
fn windows_become_the_tokens_of_the_original() {
    let expected: Expected = expected("whisper");
    for options in runtimes() {
        let transcriber = Transcriber::with_options(folder("whisper"), &options).unwrap();
        for run in &expected.runs {
            let transcript = transcriber.transcribe(&sound(run.seconds), &run.options()).unwrap();
            // What comes after the first window depends on it; it alone is compared.
            let found: Vec<u32> =
                transcript.segments.iter().flat_map(|segment| segment.tokens.clone()).collect();
            let (words, name) = (run.words(), (run.seconds, &run.task, run.timestamps, run.beams));
            assert!(!words.is_empty(), "{name:?}");
            assert!(found.starts_with(&words), "{options:?} {name:?}: {found:?} is not {words:?}");
            assert_eq!(transcript.language.as_deref(), Some(run.language.as_str()));
            assert_eq!(transcript.sound, Duration::from_secs_f64(run.seconds));
            assert!(transcript.real_time_factor() > 0.0);
        }
    }
}

#[test]
fn timestamps_of_segments_are_those_of_the_tokens() {
    let expected: Expected = expected("whisper");
    let run = expected.runs.iter().find(|run| run.timestamps && run.beams == 1).unwrap();
    let transcriber = Transcriber::with_options(folder("whisper"), &runtimes()[0]).unwrap();

    let transcript = transcriber.transcribe(&sound(run.seconds), &run.options()).unwrap();

    let segment = &transcript.segments[0];
    let step = |token: u32| Duration::from_millis(20) * (token - FIRST);
    let end = run.ids[1..].iter().find(|token| **token >= FIRST).unwrap();
    let within = |moment: Duration| moment.min(Duration::from_secs_f64(run.seconds));
    assert_eq!((segment.start, segment.end), (within(step(run.ids[0])), within(step(*end))));
}

#[test]
fn language_is_heard_if_it_is_not_given() {
    let expected: Expected = expected("whisper");
    let transcriber = Transcriber::with_options(folder("whisper"), &runtimes()[0]).unwrap();
    let transcript = transcriber.transcribe(&sound(2.0), &TranscribeOptions::new().max_tokens(1)).unwrap();
    let name = if expected.detected == 31 { "de" } else { "en" };
    assert_eq!(transcript.language.as_deref(), Some(name));
}

#[test]
fn long_sound_is_heard_to_its_end_window_by_window() {
    let transcriber = Transcriber::with_options(folder("whisper"), &runtimes()[0]).unwrap();
    let options = TranscribeOptions::new().language("de").max_tokens(4);
    let transcript = transcriber.transcribe(&sound(5.0), &options).unwrap();
    let times: Vec<_> =
        transcript.segments.iter().map(|segment| (segment.start.as_secs(), segment.end.as_secs())).collect();
    assert_eq!(times, [(0, 2), (2, 4), (4, 5)]);
    assert!(transcript.segments.iter().all(|segment| segment.tokens.len() <= 4));

    let first = transcriber.transcribe(&sound(5.0)[..32_000], &options).unwrap();
    assert_eq!(first.segments[0].tokens, transcript.segments[0].tokens);
}

#[test]
fn what_cannot_be_heard_is_an_error() {
    let transcriber = Transcriber::with_options(folder("whisper"), &runtimes()[0]).unwrap();
    let error = |samples: &[f32], options| transcriber.transcribe(samples, &options).unwrap_err();
    assert!(matches!(error(&[], TranscribeOptions::new()), Error::Empty { .. }));
    let unknown = error(&[0.0; 100], TranscribeOptions::new().language("klingon"));
    assert!(matches!(unknown, Error::Option { option: "language", .. }), "{unknown}");
    assert!(matches!(
        error(&[0.0; 100], TranscribeOptions::new().beams(0)),
        Error::Option { option: "beams", .. }
    ));
    let stopped =
        transcriber.transcribe_streaming(&sound(1.0), &TranscribeOptions::new().language("de"), |_| {
            ControlFlow::Break(())
        });
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
}

#[test]
fn odd_samples_do_not_panic() {
    let transcriber = Transcriber::with_options(folder("whisper"), &runtimes()[0]).unwrap();
    for sample in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE] {
        transcriber.transcribe(&[sample; 500], &TranscribeOptions::new().language("de").max_tokens(2)).ok();
    }
}
