use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Notification, Result};

mod log;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "webhook")]
mod webhook;

pub use log::LogNotifier;
#[cfg(feature = "mqtt")]
pub use mqtt::Mqtt;
#[cfg(feature = "webhook")]
pub use webhook::Webhook;

/// Brings notifications to somebody.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// A short name, unique within one [`crate::Alerts`].
    fn name(&self) -> &str;

    /// Delivers `notification` and returns when the receiver has it.
    ///
    /// One attempt: the caller retries, and limits the time. A receiver may see one notification twice; the
    /// fingerprint and the status tell that it is the same. Texts in it come from anywhere and have to be escaped
    /// as the receiver needs it.
    ///
    /// # Errors
    /// [`crate::Error::is_retryable`] decides whether it is tried again.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the receiver got it.
    async fn deliver(&self, notification: &Notification) -> Result<()>;
}

#[async_trait]
impl<N: Notifier + ?Sized> Notifier for Arc<N> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn deliver(&self, notification: &Notification) -> Result<()> {
        (**self).deliver(notification).await
    }
}
