//! The whole of `aic` behind the bench's door: one request, timed.
use aic_bench::{Failure, Target, Timeline};
use aic_router::Event;

use crate::{Aic, Error, Question};

/// Asks an [`Aic`] the question that a closure makes from the request's number.
///
/// The cache is part of what is measured: make every question different, or say that answers came from the cache.
///
/// ```
/// # async fn run(ai: aic::Aic) -> aic::bench::Result<()> {
/// use aic::{adapters::ChatTarget, bench::ClosedLoop};
///
/// let target = ChatTarget::new(ai, |request| format!("What is {request} + 1?").into());
/// println!("{}", ClosedLoop::new(2).requests(20).run(target).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChatTarget<F> {
    ai: Aic,
    question: F,
}

impl<F: Fn(u64) -> Question> ChatTarget<F> {
    /// Asks `ai` the questions that `question` makes.
    pub fn new(ai: Aic, question: F) -> Self {
        Self { ai, question }
    }
}

impl<F: Fn(u64) -> Question + Send + Sync + 'static> Target for ChatTarget<F> {
    async fn run(&self, request: u64, timeline: Timeline) -> Result<(), Failure> {
        let mut stream = self.ai.chat((self.question)(request)).await.map_err(|error| failure(&error))?;
        while let Some(event) = stream.next().await {
            match event.map_err(|error| failure(&error))? {
                Event::Text(_) => timeline.tokens(1),
                Event::Usage(usage) if usage.output > 0 => timeline.set_output_tokens(usage.output),
                _ => {}
            }
        }
        Ok(())
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Router(error) => {
            Failure::new(error.kind().map_or_else(|| "router".to_owned(), ToString::to_string))
        }
        _ => Failure::new("aic"),
    }
}
