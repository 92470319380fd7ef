use std::time::Duration;

use aic_alerts::testing::{notification, notifier_contract};
use aic_alerts::{Mqtt, Notifier, Status};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// The broker that `cargo xtask test` starts, or `None` where it did not.
fn broker() -> Option<String> {
    let broker = std::env::var("AIC_TEST_MQTT_URL").ok();
    if broker.is_none() {
        assert!(std::env::var_os("AIC_TEST_REQUIRE").is_none(), "AIC_TEST_MQTT_URL is not set");
        println!("skipped: AIC_TEST_MQTT_URL is not set; run `cargo xtask test`");
    }
    broker
}

/// A subscription to one topic; returns when the broker has it.
async fn subscribe(broker: &str, topic: &str) -> rumqttc::EventLoop {
    let url = url::Url::parse(broker).unwrap();
    let options = MqttOptions::new(
        format!("test-{topic}").replace('/', "-"),
        url.host_str().unwrap(),
        url.port().unwrap(),
    );
    let (client, mut connection) = AsyncClient::new(options, 8);
    client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    while !matches!(connection.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    connection
}

async fn next(connection: &mut rumqttc::EventLoop) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = connection.poll().await.unwrap() {
            return publish;
        }
    }
}

#[tokio::test]
async fn keeps_the_contract_with_a_real_broker() {
    let Some(broker) = broker() else { return };
    let mqtt = Mqtt::new(&broker, "aic/test/contract").unwrap();

    notifier_contract(&mqtt).await;
}

#[tokio::test]
async fn subscriber_gets_the_notification() {
    let Some(broker) = broker() else { return };
    let mut connection = subscribe(&broker, "aic/test/delivery").await;
    let mqtt = Mqtt::new(&broker, "aic/test/delivery").unwrap();

    mqtt.deliver(&notification(Status::Resolved)).await.unwrap();
    let publish = timeout(LONG, next(&mut connection)).await.unwrap();

    let got: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
    assert_eq!(publish.qos, QoS::AtLeastOnce);
    assert_eq!(got, serde_json::to_value(notification(Status::Resolved)).unwrap());
    assert_eq!(got["ended_at"], "2023-11-14T22:14:20.000Z");
}

#[tokio::test]
async fn retained_notification_waits_for_who_comes_later() {
    let Some(broker) = broker() else { return };
    let mqtt = Mqtt::new(&broker, "aic/test/retained").unwrap().retain(true);

    mqtt.deliver(&notification(Status::Firing)).await.unwrap();
    let mut connection = subscribe(&broker, "aic/test/retained").await;
    let publish = timeout(LONG, next(&mut connection)).await.unwrap();

    assert!(publish.retain);
}

#[tokio::test]
async fn nobody_there_is_a_failure_worth_another_attempt() {
    let mqtt = Mqtt::new("mqtt://127.0.0.1:1", "x").unwrap();

    let error = mqtt.deliver(&notification(Status::Firing)).await.unwrap_err();

    assert!(error.is_retryable(), "{error:?}");
}
