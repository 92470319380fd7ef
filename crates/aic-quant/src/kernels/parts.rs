use std::marker::PhantomData;
use std::ops::Range;

/// A slice that several threads write to at once, each its own part.
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    length: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Parts` is a `&mut [T]` whose parts are handed to threads; that is sound when `T` may be sent to them, and
// `part` makes the caller answer for the parts not overlapping.
unsafe impl<T: Send> Sync for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), owner: PhantomData }
    }

    /// The numbers at `range`.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    ///
    /// # Safety
    /// While the returned slice lives, no other part that overlaps it may.
    #[expect(clippy::mut_from_ref, reason = "the caller answers for the parts being disjoint")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "{range:?} of {}", self.length);
        // SAFETY: the range is within the slice this was made of, which is borrowed mutably for `'a`; the caller answers
        // for nobody else using it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_write_their_own_parts() {
        let mut numbers = vec![0; 100];
        let parts = Parts::new(&mut numbers);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let parts = &parts;
                // SAFETY: each worker takes 25 numbers of its own.
                scope.spawn(move || unsafe { parts.part(worker * 25..(worker + 1) * 25) }.fill(worker));
            }
        });

        assert!(numbers.iter().enumerate().all(|(i, number)| *number == i / 25));
    }

    #[test]
    #[should_panic(expected = "of 3")]
    fn part_beyond_the_slice_is_refused() {
        let mut numbers = [0; 3];
        // SAFETY: there is no other part.
        unsafe { Parts::new(&mut numbers).part(2..4) };
    }
}
