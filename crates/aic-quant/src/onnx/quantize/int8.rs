//! Numbers as bytes, with one scale for each channel.
use super::WeightRange;
use crate::onnx::proto::data_type;

/// How a channel's numbers become bytes: `value ≈ scale · (byte − zero)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// The largest absolute value of `byte − zero`.
    limit: i16,
    /// 128 for unsigned bytes, 0 for signed ones.
    zero: i16,
}

/// A tensor as bytes.
pub(super) struct Int8 {
    /// In the order of the tensor.
    pub(super) bytes: Vec<u8>,
    /// One for each channel, never zero.
    pub(super) scales: Vec<f32>,
    /// Root mean square of the error over that of the values.
    pub(super) error: f64,
}

impl Format {
    /// Signed bytes that meet no unsigned ones in a product.
    pub(super) const SIGNED: Self = Self { limit: 127, zero: 0 };
    /// 64 · 255 + 64 · 255 still fits 16 signed bits.
    pub(super) const SEVEN_BITS: Self = Self { limit: 64, zero: 0 };
    /// What `ConvInteger` computes with at speed, whatever the processor.
    pub(super) const UNSIGNED: Self = Self { limit: 127, zero: 128 };

    pub(super) fn of(range: WeightRange) -> Self {
        match range {
            WeightRange::Unsigned => Self::UNSIGNED,
            WeightRange::SevenBits => Self::SEVEN_BITS,
            WeightRange::Signed => Self::SIGNED,
        }
    }

    /// The same bytes for factors that no sum cuts off.
    pub(super) fn wide(self) -> Self {
        Self { limit: 127, ..self }
    }

    pub(super) fn is_signed(self) -> bool {
        self.zero == 0
    }

    pub(super) fn data_type(self) -> i32 {
        if self.is_signed() { data_type::INT8 } else { data_type::UINT8 }
    }

    /// The zero point as a byte.
    pub(super) fn zero(self) -> u8 {
        self.zero as u8
    }

    /// Turns `values` into bytes; every `inner` values in a row belong to one channel, then comes the next of `channels`.
    pub(super) fn quantize(self, values: &[f32], channels: usize, inner: usize) -> Int8 {
        self.quantize_above(values, &vec![0.0; channels], inner)
    }

    /// As [`quantize`](Self::quantize), with scales that are not below `floors`, one for each channel.
    pub(super) fn quantize_above(self, values: &[f32], floors: &[f32], inner: usize) -> Int8 {
        let channels = floors.len();
        let mut scales = self.scales(values, channels, inner);
        scales.iter_mut().zip(floors).for_each(|(scale, floor)| *scale = scale.max(*floor));
        let mut bytes = Vec::with_capacity(values.len());
        let (mut lost, mut all) = (0.0, 0.0);
        for (at, run) in values.chunks(inner).enumerate() {
            let scale = scales[at % channels];
            for value in run {
                let rounded = (value / scale).round_ties_even();
                bytes.push((rounded as i16 + self.zero) as u8);
                lost += f64::from(value - rounded * scale).powi(2);
                all += f64::from(*value).powi(2);
            }
        }
        Int8 { bytes, scales, error: relative(lost, all) }
    }

    fn scales(self, values: &[f32], channels: usize, inner: usize) -> Vec<f32> {
        let mut largest = vec![0.0_f32; channels];
        for (at, run) in values.chunks(inner).enumerate() {
            let largest = &mut largest[at % channels];
            *largest = run.iter().fold(*largest, |largest, value| largest.max(value.abs()));
        }
        largest.into_iter().map(|largest| scale(largest / f32::from(self.limit))).collect()
    }
}

/// A scale that can be divided by: 1 for channels that are nothing but zeros, or so small that a scale would lose its digits.
pub(super) fn scale(scale: f32) -> f32 {
    if scale.is_normal() { scale } else { 1.0 }
}

/// The root of `lost / all`, both sums of squares; 0 if there was nothing to lose.
pub(super) fn relative(lost: f64, all: f64) -> f64 {
    if all == 0.0 { 0.0 } else { (lost / all).sqrt() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(int8: &Int8, format: Format, inner: usize) -> Vec<f32> {
        let value = |(at, byte): (usize, &u8)| {
            let number =
                if format.is_signed() { i16::from(*byte as i8) } else { i16::from(*byte) - format.zero };
            f32::from(number) * int8.scales[at / inner % int8.scales.len()]
        };
        int8.bytes.iter().enumerate().map(value).collect()
    }

    proptest! {
        #[test]
        fn every_value_comes_back_within_half_a_step_of_its_channel(
            values in prop::collection::vec(-1e6_f32..1e6, 24),
            inner in prop::sample::select(vec![1_usize, 2, 4]),
            range in prop::sample::select(vec![WeightRange::Unsigned, WeightRange::SevenBits, WeightRange::Signed]),
        ) {
            let format = Format::of(range);

            let int8 = format.quantize(&values, 3, inner);

            for (at, (value, back)) in values.iter().zip(back(&int8, format, inner)).enumerate() {
                let half_step = int8.scales[at / inner % 3] / 2.0;
                prop_assert!((value - back).abs() <= half_step * 1.0001, "{value} became {back}");
            }
        }
    }

    #[test]
    fn channel_of_zeros_or_next_to_nothing_has_a_scale_that_divides() {
        let int8 = Format::SIGNED.quantize(&[0.0, 0.0, 1e-44, -1e-44, 2.54, 1.0], 3, 2);

        assert_eq!(int8.scales, [1.0, 1.0, 0.02]);
        assert_eq!(int8.bytes, [0, 0, 0, 0, 127, 50]);
    }
}
