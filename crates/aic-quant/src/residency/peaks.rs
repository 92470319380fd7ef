use serde::{Deserialize, Serialize};

/// How many requests' peaks are remembered.
const REMEMBERED: usize = 256;

/// Requests from which on one in a hundred can be told.
const ENOUGH: usize = 100;

/// The share of requests whose peak is provided for.
const SHARE: f64 = 0.99;

/// What the latest requests of a model took on top of the model, each at its peak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    /// In bytes; a ring once it is full.
    peaks: Vec<u64>,
    /// Where the ring goes on.
    next: usize,
}

impl Peaks {
    pub(super) fn add(&mut self, bytes: u64) {
        if self.peaks.len() < REMEMBERED {
            self.peaks.push(bytes);
        } else {
            self.peaks[self.next] = bytes;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }

    /// The peak that 99 % of the requests remembered kept to, by nearest rank. As long as there are fewer than a hundred it is
    /// the highest, or what was `expected` if that is higher: a few small requests say nothing about large ones.
    pub(super) fn p99(&self, expected: u64) -> u64 {
        if self.peaks.len() < ENOUGH {
            return self.peaks.iter().copied().fold(expected, u64::max);
        }
        let mut sorted = self.peaks.clone();
        let rank = (sorted.len() as f64 * SHARE).ceil() as usize;
        *sorted.select_nth_unstable(rank - 1).1
    }

    /// Whether it could have been made by [`add`](Self::add); one that comes from a file may say anything.
    pub(super) fn is_sound(&self) -> bool {
        self.peaks.len() <= REMEMBERED && self.next < REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_peaks_provide_for_the_highest_and_many_for_all_but_one_in_a_hundred() {
        let mut peaks = Peaks::default();
        assert_eq!([peaks.p99(0), peaks.p99(5)], [0, 5]);
        peaks.add(7);
        peaks.add(3);
        assert_eq!([peaks.p99(5), peaks.p99(9)], [7, 9]);

        let mut peaks = Peaks::default();
        (1..=200).rev().for_each(|peak| peaks.add(peak));
        assert_eq!(peaks.p99(1000), 198);
    }

    #[test]
    fn old_peaks_are_forgotten() {
        let mut peaks = Peaks::default();
        peaks.add(1000);
        (0..REMEMBERED as u64).for_each(|_| peaks.add(1));
        assert_eq!(peaks.p99(0), 1);
        assert!(peaks.is_sound());
    }
}
