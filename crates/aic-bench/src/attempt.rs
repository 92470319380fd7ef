use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use crate::target::{Failure, Target};
use crate::timeline::{Outputs, Timeline};

/// One request that has ended, well or not.
#[derive(Clone, Debug)]
pub struct Sample {
    pub(crate) intended: Instant,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) outputs: Outputs,
    pub(crate) outcome: Result<(), Failure>,
}

impl Sample {
    /// Takes stock of a request that ends just now.
    ///
    /// `intended` is when it should have started and `sent` when it did; they are the same where nothing was late.
    pub fn ending_now(
        intended: Instant,
        sent: Instant,
        timeline: &Timeline,
        outcome: Result<(), Failure>,
    ) -> Self {
        Self { intended, sent, ended: Instant::now(), outputs: timeline.outputs(), outcome }
    }

    /// From the intended start to the end.
    pub fn latency(&self) -> Duration {
        self.ended - self.intended
    }

    /// From the intended to the real start.
    pub fn dispatch_delay(&self) -> Duration {
        self.sent - self.intended
    }

    /// From the intended start to the first output; `None` without output.
    pub fn ttft(&self) -> Option<Duration> {
        Some(self.outputs.first? - self.intended)
    }

    /// The time after the first output for each further token; `None` with fewer than two tokens.
    pub fn tpot(&self) -> Option<Duration> {
        let further =
            u32::try_from(self.outputs.tokens.checked_sub(1)?).ok().filter(|&further| further > 0)?;
        Some((self.ended - self.outputs.first?) / further)
    }
}

/// Runs one request to its end, its time limit or its panic.
pub(crate) async fn attempt<T: Target>(
    target: &T,
    request: u64,
    intended: Instant,
    limit: Duration,
) -> Sample {
    let sent = Instant::now();
    let timeline = Timeline::default();
    let work = AssertUnwindSafe(target.run(request, timeline.clone())).catch_unwind();
    let outcome = match timeout(limit, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Failure::new("panic")),
        Err(_elapsed) => Err(Failure::new("timeout")),
    };
    Sample::ending_now(intended, sent, &timeline, outcome)
}
