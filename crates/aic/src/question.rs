use aic_cache::{CacheControl, Tag};
use aic_router::ChatRequest;

/// A question: a text, which is asked with the configured priority, or a request, which has its own; and what it asks
/// of the cache.
///
/// ```no_run
/// # async fn example(ai: aic::Aic) -> aic::Result<()> {
/// use aic::{Question, cache::{CacheControl, Tag}};
///
/// let anew = Question::from("What is new?").cache(CacheControl::new().no_cache());
/// let about = Question::from("Sum up the handbook.").tag(Tag::new("document", "handbook.pdf"));
/// println!("{}\n{}", ai.ask(anew).await?, ai.ask(about).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Question {
    pub(crate) request: ChatRequest,
    /// Whether `request` says by which priority it wants to be routed.
    pub(crate) has_priority: bool,
    pub(crate) cache: CacheControl,
}

impl Question {
    fn new(request: ChatRequest, has_priority: bool) -> Self {
        Self { request, has_priority, cache: CacheControl::new() }
    }

    /// Says what this question asks of the cache; marks it has already are kept. By default it uses what is there, and
    /// its answer is kept.
    #[must_use]
    pub fn cache(mut self, control: CacheControl) -> Self {
        let tags = std::mem::replace(&mut self.cache, control).tags;
        self.cache.tags.extend(tags);
        self
    }

    /// Marks the kept answer, to be [cleared](crate::Aic::clear) with all others that have the mark: for instance
    /// those that depend on the same document. None by default.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.cache = self.cache.tag(tag);
        self
    }
}

impl From<&str> for Question {
    fn from(text: &str) -> Self {
        Self::new(ChatRequest::user(text), false)
    }
}

impl From<String> for Question {
    fn from(text: String) -> Self {
        Self::new(ChatRequest::user(text), false)
    }
}

impl From<ChatRequest> for Question {
    fn from(request: ChatRequest) -> Self {
        Self::new(request, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_whichever_comes_first() {
        let mark = Tag::new("document", "a");
        let fresh = || CacheControl::new().no_cache();

        let [before, after] =
            [Question::from("?").tag(mark).cache(fresh()), Question::from("?").cache(fresh()).tag(mark)];

        assert_eq!((&before.cache, before.cache.no_cache), (&after.cache, true));
        assert_eq!(before.cache.tags, [mark]);
    }
}
