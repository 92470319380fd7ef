use std::fmt;

use async_trait::async_trait;
use tracing::{error, info, warn};

use super::Notifier;
use crate::{Notification, Result, Severity, Status};

type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Writes each notification as one line to `tracing`, and to a sink of yours.
#[derive(Default)]
pub struct LogNotifier {
    sink: Option<Sink>,
}

impl LogNotifier {
    /// A notifier that writes to `tracing` only: critical alerts as errors, others as warnings, their end as info.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives each line to `sink` too, which must not block.
    ///
    /// Control characters in it are escaped.
    pub fn sink(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }
}

#[async_trait]
impl Notifier for LogNotifier {
    fn name(&self) -> &str {
        "log"
    }

    async fn deliver(&self, notification: &Notification) -> Result<()> {
        let line = notification.to_string();
        let fingerprint = &notification.fingerprint;
        match (notification.status, notification.severity) {
            (Status::Resolved, _) | (_, Severity::Info) => info!(fingerprint, "{line}"),
            (Status::Firing, Severity::Warning) => warn!(fingerprint, "{line}"),
            (Status::Firing, Severity::Critical) => error!(fingerprint, "{line}"),
        }
        self.sink.iter().for_each(|sink| sink(&line));
        Ok(())
    }
}

impl fmt::Debug for LogNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogNotifier").field("sink", &self.sink.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::{notification, notifier_contract};

    #[tokio::test]
    async fn one_notification_is_one_line_for_the_sink() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&lines);
        let notifier = LogNotifier::new().sink(move |line| log.lock().unwrap().push(line.to_owned()));

        notifier.deliver(&notification(Status::Firing)).await.unwrap();

        assert_eq!(*lines.lock().unwrap(), ["[warning firing] example: queue chat is 250 long"]);
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let notifier = LogNotifier::new().sink(|line| assert!(!line.contains(char::is_control)));

        notifier_contract(&notifier).await;
    }
}
