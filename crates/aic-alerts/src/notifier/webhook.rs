use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};

use super::Notifier;
use crate::timestamp::rfc3339;
use crate::{Error, Labels, Notification, Result};

const NAME: &str = "webhook";

/// Posts each notification as JSON to an HTTP address, in the form of Alertmanager's webhook, version 4.
///
/// Any status from 200 to 299 is success. Redirects are not followed: an address that moves is told as a failure.
/// Neither the address nor the token is ever printed in full; both may hold a secret.
pub struct Webhook {
    client: Client,
    url: Url,
    bearer_token: Option<String>,
    timeout: Duration,
}

impl Webhook {
    /// A notifier that posts to `url`, which begins with `http://` or `https://`.
    ///
    /// # Errors
    /// [`Error::Settings`] if the address is none, or TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self> {
        let settings = |reason: String| Error::Settings { notifier: NAME.into(), reason };
        let url = Url::parse(url).map_err(|error| settings(format!("address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(settings(format!("scheme `{}` is neither http nor https", url.scheme())));
        }
        let client = Client::builder().redirect(redirect::Policy::none()).build();
        let client = client.map_err(|error| settings(error.to_string()))?;
        Ok(Self { client, url, bearer_token: None, timeout: Duration::from_secs(5) })
    }

    /// Sends `Authorization: Bearer` with `token`.
    ///
    /// Defaults to no such header.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.bearer_token = Some(token.into());
        self
    }

    /// How long one post may take, connecting included.
    ///
    /// Defaults to 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> &str {
        NAME
    }

    async fn deliver(&self, notification: &Notification) -> Result<()> {
        let mut request = self.client.post(self.url.clone()).timeout(self.timeout).json(&body(notification));
        if let Some(token) = &self.bearer_token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.failure(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Error::Rejected { notifier: NAME.into(), status: status.as_u16() })
    }
}

impl Webhook {
    fn failure(&self, error: reqwest::Error) -> Error {
        if error.is_timeout() {
            return Error::Timeout { notifier: NAME.into(), timeout: self.timeout };
        }
        Error::delivery(NAME, error.without_url())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("bearer_token", &self.bearer_token.as_ref().map(|_| "***"))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A group of one alert (Alertmanager, `docs/notifications.md` and `template.Data`).
fn body(notification: &Notification) -> Value {
    let labels = labels(notification);
    let annotations = json!({
        "summary": notification.summary,
        "value": notification.value.map(|value| value.to_string()).unwrap_or_default(),
    });
    // What has not ended yet ends, in Go, at the zero of time.
    let ends_at = notification.ended_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339);
    json!({
        "version": "4",
        "groupKey": notification.fingerprint,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": "aic",
        "groupLabels": { "alertname": notification.rule },
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [{
            "status": notification.status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(notification.started_at),
            "endsAt": ends_at,
            "generatorURL": "",
            "fingerprint": notification.fingerprint,
        }],
    })
}

/// The series' labels with the rule's own; the rule's win.
fn labels(notification: &Notification) -> Labels {
    let own = [("alertname", notification.rule.clone()), ("severity", notification.severity.to_string())];
    let mut labels = notification.labels.clone();
    labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::testing::notification;

    #[test]
    fn body_has_the_form_of_alertmanagers_webhook() {
        let body = body(&notification(Status::Firing));

        let alert = &body["alerts"][0];
        assert_eq!(body["version"], "4");
        assert_eq!(body["status"], "firing");
        assert_eq!(
            alert["labels"],
            json!({ "alertname": "example", "queue": "chat", "severity": "warning" })
        );
        assert_eq!(alert["annotations"]["summary"], "queue chat is 250 long");
        assert_eq!(alert["startsAt"], "2023-11-14T22:13:20.000Z");
        assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    }

    #[test]
    fn secrets_are_not_printed() {
        let hook = Webhook::new("https://user:hidden@example.org/services/hidden?key=hidden").unwrap();

        let shown = format!("{:?}", hook.bearer_token("hidden"));

        assert!(shown.contains("https://example.org") && shown.contains("***"), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        let reason = |url| Webhook::new(url).unwrap_err().to_string();

        assert!(reason("nowhere").contains("relative URL without a base"));
        assert!(reason("file:///etc/passwd").contains("scheme `file`"));
    }
}
