use std::ops::Range;

use memmap2::MmapMut;

use crate::{Error, Result};

/// Bytes that begin on a page of memory, zero at first.
///
/// Large ones begin on a huge page, and ask for such: weights stream by without a look at the table of pages every 4 KiB, which
/// the processor's prefetching does not cross either.
pub(super) struct Buffer {
    memory: Option<MmapMut>,
    /// Within the memory, whose beginning before it is never touched and costs nothing.
    range: Range<usize>,
}

impl Buffer {
    const HUGE_PAGE: usize = 2 << 20;

    /// # Errors
    /// [`Error::Io`] if the system has no memory left.
    pub(super) fn zeroed(length: usize) -> Result<Self> {
        if length == 0 {
            return Ok(Self { memory: None, range: 0..0 });
        }
        let margin = if length < Self::HUGE_PAGE { 0 } else { Self::HUGE_PAGE };
        let memory =
            MmapMut::map_anon(length.saturating_add(margin)).map_err(Error::io("allocate", "<memory>"))?;
        let start = if margin == 0 { 0 } else { memory.as_ptr().align_offset(margin) };
        // No page beyond the end: what is not asked for is not made huge, and takes no memory that was not wanted.
        #[cfg(all(target_os = "linux", not(miri)))]
        if margin > 0 {
            // Slower without, but right.
            let _ = memory.advise_range(memmap2::Advice::HugePage, start, length);
        }
        Ok(Self { memory: Some(memory), range: start..start + length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[self.range.clone()])
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory[self.range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_length_are_zero_and_begin_on_a_page() {
        for length in [0, 1, 4096, if cfg!(miri) { 5000 } else { 3 << 20 }] {
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
