//! Fakes, and the contract that every notifier keeps.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::future;

use crate::notification::fingerprint;
use crate::outbox::lock;
use crate::{Clock, Error, Labels, Notification, Notifier, Result, Severity, Status};

/// Checks that `notifier`, whose receiver is there and well, behaves as the door demands.
///
/// # Panics
/// Where it does not: without a name, or when it fails to deliver any text, several notifications at once, or one
/// notification twice.
pub async fn notifier_contract(notifier: &dyn Notifier) {
    assert!(!notifier.name().is_empty(), "a notifier has a name");
    assert_eq!(notifier.name(), notifier.name(), "a notifier's name stays");
    for notification in awkward() {
        let delivered = notifier.deliver(&notification).await;
        delivered.unwrap_or_else(|error| panic!("{notification:?} is delivered, not {error:?}"));
    }
    let same = notification(Status::Firing);
    let at_once = future::join_all((0..4).map(|_| notifier.deliver(&same))).await;
    assert!(at_once.iter().all(Result::is_ok), "deliveries at once arrive, and so does the same one twice");
}

/// An example of a notification.
pub fn notification(status: Status) -> Notification {
    let labels = Labels::from([("queue".to_owned(), "chat".to_owned())]);
    let started_at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Notification {
        status,
        rule: "example".into(),
        severity: Severity::Warning,
        metric: "queue_length".into(),
        value: Some(250.0),
        threshold: 100.0,
        summary: "queue chat is 250 long".into(),
        started_at,
        ended_at: (status == Status::Resolved).then(|| started_at + Duration::from_secs(60)),
        for_lack_of_data: false,
        fingerprint: fingerprint("example", &labels),
        labels,
    }
}

/// Notifications with texts and values that break careless encoders.
fn awkward() -> Vec<Notification> {
    let texts = [
        "",
        "\"quoted\" \\ and {{braces}}",
        "line\r\nbreak \u{1b}[31m\0",
        "日本 🦀 \u{202e}",
        "<!channel> & <b>",
    ];
    let with_text = |text: &str| Notification {
        summary: text.to_owned(),
        labels: Labels::from([("text".to_owned(), text.to_owned())]),
        ..notification(Status::Firing)
    };
    let lost = Notification { value: None, for_lack_of_data: true, ..notification(Status::Resolved) };
    texts.map(with_text).into_iter().chain([notification(Status::Resolved), lost]).collect()
}

/// A notifier that remembers what it was given, and can be told to fail.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    name: String,
    delivered: Mutex<Vec<Notification>>,
    failures: Mutex<Vec<Error>>,
}

impl RecordingNotifier {
    /// A notifier that succeeds.
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), ..Self::default() })
    }

    /// Makes one delivery to come fail with `error`.
    pub fn fail_with(&self, error: Error) {
        lock(&self.failures).push(error);
    }

    /// What was delivered, in order.
    pub fn delivered(&self) -> Vec<Notification> {
        lock(&self.delivered).clone()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, notification: &Notification) -> Result<()> {
        if let Some(error) = lock(&self.failures).pop() {
            return Err(error);
        }
        lock(&self.delivered).push(notification.clone());
        Ok(())
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// A clock at 2023-11-14, 22:13:20 UTC.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), elapsed: Mutex::default() })
    }

    /// Lets `by` pass.
    pub fn advance(&self, by: Duration) {
        *lock(&self.elapsed) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + *lock(&self.elapsed)
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + *lock(&self.elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn recording_notifier_keeps_the_contract() {
        notifier_contract(&RecordingNotifier::new("recording")).await;
    }
}
