/// What serving a model has come to: how things stand, and what has happened since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeStatistics {
    /// Requests that wait to be started, or to be continued after a preemption.
    pub waiting: usize,
    /// Requests being answered.
    pub running: usize,
    /// Pages of keys and values that running requests hold.
    pub pages_used: usize,
    /// Pages that nobody holds, kept for requests that begin alike; they make room when pages are needed.
    pub pages_cached: usize,
    /// Pages that hold nothing.
    pub pages_free: usize,
    /// Tokens that did not have to be run because they were in pages already: of a request that began alike, or of the same one
    /// before its preemption.
    pub prefix_hit_tokens: u64,
    /// Times a request gave its pages to an older one, to be continued later.
    pub preemptions: u64,
    /// Requests refused because too many waited.
    pub refused: u64,
    /// Requests taken out of the queue because their time was up or nobody waited for the answer any more.
    pub purged: u64,
    /// Requests stopped while being answered because nobody waited for the answer any more.
    pub cancelled: u64,
    /// Requests that ended with an error while being answered.
    pub failed: u64,
    /// Requests answered.
    pub finished: u64,
    /// Passes through the model.
    pub steps: u64,
    /// Tokens of prompts that were run, those run again after a preemption too.
    pub prefill_tokens: u64,
    /// Tokens of answers that were run.
    pub decode_tokens: u64,
}
