/// How far the gate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Windows read.
    pub windows: usize,
    /// Windows the text has; the gate may decide before the last.
    pub windows_planned: usize,
    /// Probes answered by both models.
    pub probes: usize,
    /// Probes there are.
    pub probes_planned: usize,
}
