/// How far loading or quantizing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Bytes of the source done with.
    pub done_bytes: u64,
    /// Bytes of all its tensors.
    pub total_bytes: u64,
    /// The tensor just finished.
    pub tensor: &'a str,
}
