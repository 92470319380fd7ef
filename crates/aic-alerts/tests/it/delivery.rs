use std::sync::Arc;
use std::time::Duration;

use aic_alerts::testing::RecordingNotifier;
use aic_alerts::{Alerts, AlertsBuilder, Error, Notification, Notifier, Op, Result, Rule, TableSource};
use async_trait::async_trait;

/// Never returns.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl Notifier for Hanging {
    fn name(&self) -> &str {
        "hanging"
    }

    async fn deliver(&self, _: &Notification) -> Result<()> {
        std::future::pending().await
    }
}

fn alerts(notifiers: impl IntoIterator<Item = Arc<dyn Notifier>>) -> (Alerts, Arc<TableSource>) {
    let table = Arc::new(TableSource::new());
    let rule = Rule::builder("busy", "load", Op::Above, 1.0).build().unwrap();
    let builder = Alerts::builder().rule(rule).source(Arc::clone(&table));
    let alerts = notifiers.into_iter().fold(builder, AlertsBuilder::notifier).build();
    (alerts.unwrap(), table)
}

async fn fire(alerts: &Alerts, table: &TableSource) {
    table.set_plain("load", Some(9.0));
    assert_eq!(alerts.evaluate().await.len(), 1);
}

async fn resolve(alerts: &Alerts, table: &TableSource) {
    table.set_plain("load", Some(0.0));
    assert_eq!(alerts.evaluate().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn delivery_that_fails_twice_arrives_with_the_third_attempt() {
    let notifier = RecordingNotifier::new("shaky");
    notifier.fail_with(Error::delivery("shaky", "connection reset"));
    notifier.fail_with(Error::delivery("shaky", "connection refused"));
    let (alerts, table) = alerts([notifier.clone() as _]);

    fire(&alerts, &table).await;
    alerts.flush().await;

    let count = &alerts.deliveries()[0];
    assert_eq!(notifier.delivered().len(), 1);
    assert_eq!((count.delivered, count.failed), (1, 0));
    assert_eq!(count.last_error.as_deref(), Some("notifier `shaky` could not deliver: connection reset"));
}

#[tokio::test(start_paused = true)]
async fn refusal_is_not_tried_again_and_counted() {
    let notifier = RecordingNotifier::new("strict");
    notifier.fail_with(Error::Rejected { notifier: "strict".into(), status: 400 });
    let (alerts, table) = alerts([notifier.clone() as _]);

    fire(&alerts, &table).await;
    resolve(&alerts, &table).await;
    alerts.flush().await;

    let count = &alerts.deliveries()[0];
    assert_eq!((count.delivered, count.failed), (1, 1));
    assert_eq!(notifier.delivered().len(), 1, "the end of the alert was told");
}

#[tokio::test(start_paused = true)]
async fn hanging_notifier_holds_up_neither_evaluation_nor_the_others() {
    let healthy = RecordingNotifier::new("healthy");
    let (alerts, table) = alerts([Arc::new(Hanging) as _, healthy.clone() as _]);
    let before = tokio::time::Instant::now();

    fire(&alerts, &table).await;
    while healthy.delivered().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waited");
    alerts.flush().await;

    let counts = alerts.deliveries();
    assert_eq!((counts[0].failed, counts[1].delivered), (1, 1));
    assert!(counts[0].last_error.as_ref().unwrap().contains("no answer within 10s"));
}

#[tokio::test(start_paused = true)]
async fn one_notification_too_many_is_dropped_and_counted() {
    let (alerts, table) = alerts([Arc::new(Hanging) as _]);

    for _ in 0..150 {
        fire(&alerts, &table).await;
        resolve(&alerts, &table).await;
    }

    let dropped = alerts.deliveries()[0].dropped;
    assert!((300 - 257..=300 - 256).contains(&dropped), "{dropped}");
}
