use crate::Result;

/// Watches what flows through a model while it reads tokens.
///
/// Every method does nothing unless it is written; `()` watches nothing.
pub(crate) trait Observer {
    /// `input`, rows of as many numbers as the matrix called `name` has columns, is about to meet it.
    fn matrix(&mut self, name: &str, input: Rows<'_>) -> Result<()> {
        let _ = (name, input);
        Ok(())
    }

    /// The layer of this index made `after` of `before`, one row for each token.
    fn layer(&mut self, index: usize, before: Rows<'_>, after: Rows<'_>) -> Result<()> {
        let _ = (index, before, after);
        Ok(())
    }

    /// Whether anything is watched; if not, nothing need be shown.
    fn watches(&self) -> bool {
        true
    }
}

impl Observer for () {
    fn watches(&self) -> bool {
        false
    }
}

/// Some rows of numbers, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) columns: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        self.values.chunks_exact(self.columns)
    }

    pub(crate) fn count(self) -> usize {
        self.values.len() / self.columns
    }
}
