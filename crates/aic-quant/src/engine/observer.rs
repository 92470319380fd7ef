use candle_core::{Result, Tensor};

/// Watches what flows through a model while it reads tokens.
///
/// Every method does nothing unless it is written; `()` watches nothing.
pub(crate) trait Observer {
    /// `input`, `[tokens, in_features]`, is about to meet the matrix called `name`.
    fn matrix(&mut self, name: &str, input: &Tensor) -> Result<()> {
        let _ = (name, input);
        Ok(())
    }

    /// The layer of this index made `after` of `before`, both `[tokens, hidden]`.
    fn layer(&mut self, index: usize, before: &Tensor, after: &Tensor) -> Result<()> {
        let _ = (index, before, after);
        Ok(())
    }
}

impl Observer for () {}
