//! What Whisper hears: the log-mel spectrogram of section 2.2 of [Radford et al. 2022](https://arxiv.org/abs/2212.04356), as its
//! feature extractor computes it: windows of 25 ms every 10 ms, Hann, power, Slaney's mel filters up to 8 kHz, logarithm, the
//! quietest 80 dB below the loudest.
use std::f32::consts::PI;
use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// Samples a second that Whisper's models want.
pub(super) const SAMPLE_RATE: usize = 16_000;
/// Samples of a window: 25 ms.
const WINDOW: usize = 400;
/// Samples from one window to the next: 10 ms.
pub(super) const HOP: usize = 160;
/// Frequencies of a window's spectrum.
const FREQUENCIES: usize = WINDOW / 2 + 1;

/// Makes spectrograms of `bands` mel bands.
#[derive(Clone)]
pub(super) struct Mel {
    bands: usize,
    hann: Vec<f32>,
    /// `[bands, FREQUENCIES]`.
    filters: Vec<f32>,
    fft: Arc<dyn Fft<f32>>,
}

impl fmt::Debug for Mel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mel").field("bands", &self.bands).finish_non_exhaustive()
    }
}

impl Mel {
    pub(super) fn new(bands: usize) -> Self {
        let hann = |at: usize| 0.5 - 0.5 * (2.0 * PI * at as f32 / WINDOW as f32).cos();
        Self {
            bands,
            hann: (0..WINDOW).map(hann).collect(),
            filters: filters(bands),
            fft: FftPlanner::new().plan_fft_forward(WINDOW),
        }
    }

    /// The spectrogram of `samples`, silence added or the rest cut off to make `frames` of 10 ms: `[bands, frames]`.
    pub(super) fn spectrogram(&self, samples: &[f32], frames: usize) -> Vec<f32> {
        let samples = reflected(samples, frames * HOP);
        let mut mel = vec![0.0; self.bands * frames];
        let mut spectrum = vec![Complex::default(); WINDOW];
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        for frame in 0..frames {
            let window = samples[frame * HOP..].iter().zip(&self.hann);
            spectrum
                .iter_mut()
                .zip(window)
                .for_each(|(value, (sample, hann))| *value = (sample * hann).into());
            self.fft.process_with_scratch(&mut spectrum, &mut scratch);
            let power: Vec<f32> = spectrum[..FREQUENCIES].iter().map(Complex::norm_sqr).collect();
            for (band, filter) in self.filters.chunks_exact(FREQUENCIES).enumerate() {
                let energy: f32 = filter.iter().zip(&power).map(|(weight, power)| weight * power).sum();
                mel[band * frames + frame] = energy.max(1e-10).log10();
            }
        }
        compressed(&mut mel);
        mel
    }
}

/// `count` samples, silence behind them, with half a window mirrored on either side.
fn reflected(samples: &[f32], count: usize) -> Vec<f32> {
    const HALF: usize = WINDOW / 2;
    let at = |index: usize| samples.get(index).copied().unwrap_or(0.0);
    // Mirrored about the first and the last sample, which do not come twice.
    let before = (1..=HALF).rev().map(at);
    let after = (0..HALF).map(|back| at(count.saturating_sub(back + 2)));
    before.chain((0..count).map(at)).chain(after).collect()
}

/// Lifts what is more than 80 dB below the loudest, and brings all near to -1 to 1.
fn compressed(mel: &mut [f32]) {
    let floor = mel.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
    mel.iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
}

/// Triangles even in mel, each of the same area, from 0 Hz to half the sample rate: `[bands, FREQUENCIES]`.
fn filters(bands: usize) -> Vec<f32> {
    let highest = SAMPLE_RATE as f64 / 2.0;
    let edge = |index: usize| to_hertz(to_mel(highest) * index as f64 / (bands + 1) as f64);
    let edges: Vec<f64> = (0..bands + 2).map(edge).collect();
    let weight = |(low, mid, high): (f64, f64, f64), frequency: f64| {
        let slope = ((frequency - low) / (mid - low)).min((high - frequency) / (high - mid));
        (slope.max(0.0) * 2.0 / (high - low)) as f32
    };
    let band = |edges: &[f64]| {
        let edges = (edges[0], edges[1], edges[2]);
        (0..FREQUENCIES).map(move |at| weight(edges, highest * at as f64 / (FREQUENCIES - 1) as f64))
    };
    edges.windows(3).flat_map(band).collect()
}

/// Slaney's scale: linear up to 1 kHz, logarithmic above.
fn to_mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tone_is_loudest_in_the_band_it_lies_in() {
        let tone: Vec<f32> =
            (0..SAMPLE_RATE).map(|at| (at as f32 * 440.0 * 2.0 * PI / 16_000.0).sin()).collect();
        let mel = Mel::new(80).spectrogram(&tone, 100);
        let loudest = (0..80).max_by(|a, b| mel[a * 100 + 50].total_cmp(&mel[b * 100 + 50])).unwrap();
        let (low, high) = (loudest as f64 / 81.0, (loudest + 2) as f64 / 81.0);
        let place = to_mel(440.0) / to_mel(8000.0);
        assert!(low < place && place < high, "band {loudest}");
    }

    #[test]
    fn silence_and_nothing_are_the_same_even_floor() {
        let mel = Mel::new(80);
        let silence = mel.spectrogram(&[0.0; 1000], 20);
        assert_eq!(silence, mel.spectrogram(&[], 20));
        assert!(silence.iter().all(|value| *value == -1.5), "{:?}", &silence[..4]);
    }

    #[derive(serde::Deserialize)]
    struct Expected {
        shape: [usize; 2],
        every_97th: Vec<f32>,
    }

    /// As `sound` of `make.py`, 1.3 seconds.
    fn sound() -> Vec<f32> {
        use std::f64::consts::TAU;
        let sample = |at: usize| {
            let time = at as f64 / 16_000.0;
            let chirp = 0.4 * (TAU * (200.0 + 300.0 * time) * time).sin();
            (chirp + 0.2 * (TAU * 1730.0 * time).sin() * (TAU * 3.0 * time).sin()) as f32
        };
        (0..20_800).map(sample).collect()
    }

    #[test]
    fn spectrograms_are_those_of_the_original_feature_extractor() {
        let all = include_str!("../../../tests/goldens/onnx-models/expected.json");
        let all: serde_json::Value = serde_json::from_str(all).unwrap();
        for bands in [80, 128] {
            let expected: Expected =
                serde_json::from_value(all["whisper"]["mel"][bands.to_string()].clone()).unwrap();
            let mel = Mel::new(bands).spectrogram(&sound(), 200);
            assert_eq!(expected.shape, [bands, 200]);
            for (at, expected) in expected.every_97th.iter().enumerate() {
                let found = mel[at * 97];
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{bands} bands, value {}: {found}, not {expected}",
                    at * 97
                );
            }
        }
    }

    #[test]
    fn scales_are_each_other_s_inverse() {
        for hertz in [0.0, 150.0, 999.0, 1000.0, 4321.0, 8000.0] {
            assert!((to_hertz(to_mel(hertz)) - hertz).abs() < 1e-9);
        }
    }
}
