#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

use crate::{Error, Result};

/// Bytes that begin on a page of memory, zero at first.
///
/// Large ones ask for huge pages: weights stream by without a look at the table of pages every 4 KiB, which the processor's
/// prefetching does not cross either.
pub(super) struct Buffer(Option<MmapMut>);

impl Buffer {
    #[cfg(target_os = "linux")]
    const HUGE_PAGE: usize = 2 << 20;

    /// # Errors
    /// [`Error::Io`] if the system has no memory left.
    pub(super) fn zeroed(length: usize) -> Result<Self> {
        if length == 0 {
            return Ok(Self(None));
        }
        let memory = MmapMut::map_anon(length).map_err(Error::io("allocate", "<memory>"))?;
        #[cfg(target_os = "linux")]
        if length >= Self::HUGE_PAGE {
            // Slower without, but right.
            let _ = memory.advise(Advice::HugePage);
        }
        Ok(Self(Some(memory)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
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
