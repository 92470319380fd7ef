use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::time;
use url::Url;

use super::Notifier;
use crate::{Error, Notification, Result};

const NAME: &str = "mqtt";
const PORT: u16 = 1883;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// One publish and one disconnect.
const QUEUE: usize = 2;

static NEXT_CLIENT: AtomicU64 = AtomicU64::new(0);

/// Publishes each notification as JSON to an MQTT broker (version 3.1.1), with quality of service 1.
///
/// A delivery is a connection of its own and over when the broker has acknowledged the message; nothing waits in a
/// queue that a broken connection could empty. The connection is not encrypted.
pub struct Mqtt {
    host: String,
    port: u16,
    topic: String,
    credentials: Option<(String, String)>,
    retain: bool,
    timeout: Duration,
}

impl Mqtt {
    /// A notifier that publishes to `topic` at `url`, such as `mqtt://localhost:1883`; without a port, at 1883.
    ///
    /// # Errors
    /// [`Error::Settings`] for another scheme, an address without a host or with credentials in it, and for a topic
    /// that is empty, longer than 65,535 bytes or has a wildcard.
    pub fn new(url: &str, topic: impl Into<String>) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| settings(format!("address: {error}")))?;
        if url.scheme() != "mqtt" {
            return Err(settings(format!("scheme `{}` is not mqtt", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(settings("credentials belong in `credentials`, not in the address"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| settings("address without a host"))?;
        let topic = checked_topic(topic.into())?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(PORT),
            topic,
            credentials: None,
            retain: false,
            timeout: Duration::from_secs(5),
        })
    }

    /// Logs in with a name and a password.
    ///
    /// Defaults to no login.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Whether the broker keeps the last notification for those who subscribe later.
    ///
    /// Defaults to `false`.
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// How long one delivery may take, connecting included.
    ///
    /// Defaults to 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn options(&self) -> MqttOptions {
        let number = NEXT_CLIENT.fetch_add(1, Ordering::Relaxed);
        let id = format!("aic-alerts-{}-{number}", std::process::id());
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password);
        }
        options
    }

    async fn publish(&self, payload: Vec<u8>) -> Result<()> {
        let (client, mut connection) = AsyncClient::new(self.options(), QUEUE);
        let publish = client.publish(&self.topic, QoS::AtLeastOnce, self.retain, payload);
        publish.await.map_err(|error| Error::delivery(NAME, error))?;
        acknowledged(&mut connection).await?;
        farewell(&client, &mut connection).await;
        Ok(())
    }
}

#[async_trait]
impl Notifier for Mqtt {
    fn name(&self) -> &str {
        NAME
    }

    async fn deliver(&self, notification: &Notification) -> Result<()> {
        let payload = serde_json::to_vec(notification).map_err(|error| Error::delivery(NAME, error))?;
        let late = |_| Error::Timeout { notifier: NAME.into(), timeout: self.timeout };
        time::timeout(self.timeout, self.publish(payload)).await.map_err(late)?
    }
}

/// Runs the connection until the broker has acknowledged the one message sent on it.
async fn acknowledged(connection: &mut EventLoop) -> Result<()> {
    loop {
        match connection.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Error::delivery(NAME, error)),
        }
    }
}

/// Tells the broker that the end of the connection is meant; the message has arrived whether that works or not.
async fn farewell(client: &AsyncClient, connection: &mut EventLoop) {
    if client.disconnect().await.is_err() {
        return;
    }
    while let Ok(event) = connection.poll().await {
        if event == Event::Outgoing(Outgoing::Disconnect) {
            return;
        }
    }
}

fn checked_topic(topic: String) -> Result<String> {
    let fits = !topic.is_empty() && u16::try_from(topic.len()).is_ok();
    if fits && !topic.contains(['+', '#', '\0']) {
        return Ok(topic);
    }
    Err(settings("topic must be 1 to 65535 bytes without `+`, `#` and NUL"))
}

fn settings(reason: impl Into<String>) -> Error {
    Error::Settings { notifier: NAME.into(), reason: reason.into() }
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("topic", &self.topic)
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_without_a_port_means_1883() {
        let mqtt = Mqtt::new("mqtt://broker.example.org", "aic/alerts").unwrap();

        assert_eq!((mqtt.host.as_str(), mqtt.port), ("broker.example.org", 1883));
        assert_eq!(Mqtt::new("mqtt://[::1]:2883", "x").unwrap().host, "::1");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_without_telling_a_secret() {
        let reason = |url, topic: &str| Mqtt::new(url, topic).unwrap_err().to_string();

        assert!(reason("http://host", "x").contains("scheme `http` is not mqtt"));
        let leak = reason("mqtt://user:hidden@host", "x");
        assert!(leak.contains("`credentials`") && !leak.contains("hidden"));
        assert!(reason("mqtt://host", "alerts/#").contains("topic"));
        assert!(reason("mqtt://host", "").contains("topic"));
    }

    #[test]
    fn password_is_not_printed() {
        let mqtt = Mqtt::new("mqtt://host", "x").unwrap().credentials("user", "hidden");

        assert!(!format!("{mqtt:?}").contains("hidden"));
    }
}
