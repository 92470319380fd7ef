use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;

use crate::{Error, Result};

/// Bytes that begin on a page, zero at first.
pub(super) struct Buffer {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a `Buffer` owns its bytes, as a `Vec<u8>` does.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Large buffers begin on a huge page, where the system gives those: fewer misses in the table of pages when weights
    /// stream by.
    const HUGE_PAGE: usize = 2 << 20;
    const PAGE: usize = 4 << 10;

    /// # Errors
    /// [`Error::Io`] if the system has no memory left.
    pub(super) fn zeroed(length: usize) -> Result<Self> {
        if length == 0 {
            return Ok(Self { start: NonNull::dangling(), length });
        }
        let refused = || Error::io("allocate", "<memory>")(io::ErrorKind::OutOfMemory.into());
        let layout = Self::layout(length).ok_or_else(refused)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or_else(refused)?;
        Ok(Self { start, length })
    }

    fn layout(length: usize) -> Option<Layout> {
        let align = if length < Self::HUGE_PAGE { Self::PAGE } else { Self::HUGE_PAGE };
        Layout::from_size_align(length, align).ok()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer owns that many bytes, all of which were written at least once.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and nobody else has them while `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.length).filter(|layout| layout.size() > 0) {
            // SAFETY: `zeroed` allocated it with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_length_are_zero_and_begin_on_a_page() {
        for length in [0, 1, 4096, 3 << 20] {
            let mut buffer = Buffer::zeroed(length).unwrap();
            assert_eq!(buffer.bytes().len(), length);
            assert!(buffer.bytes().iter().all(|byte| *byte == 0));
            buffer.bytes_mut().fill(7);
            assert!(length == 0 || (buffer.bytes().as_ptr() as usize).is_multiple_of(4096));
        }
    }

    #[test]
    fn more_than_there_can_be_is_an_error() {
        assert!(matches!(Buffer::zeroed(usize::MAX), Err(Error::Io { .. })));
    }
}
