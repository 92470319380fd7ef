use std::time::Duration;

use aic_alerts::testing::{notification, notifier_contract};
use aic_alerts::{Error, Notifier, Status, Webhook};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn answering(response: ResponseTemplate) -> (MockServer, Webhook) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    let hook = Webhook::new(&format!("{}/hook", server.uri())).unwrap();
    (server, hook)
}

#[tokio::test]
async fn keeps_the_contract() {
    let (_server, hook) = answering(ResponseTemplate::new(200)).await;

    notifier_contract(&hook).await;
}

#[tokio::test]
async fn alert_arrives_as_alertmanager_would_send_it() {
    let server = MockServer::start().await;
    let expected = serde_json::json!({
        "version": "4",
        "status": "resolved",
        "alerts": [{ "labels": { "alertname": "example" }, "endsAt": "2023-11-14T22:14:20.000Z" }],
    });
    Mock::given(method("POST"))
        .and(path("/hook"))
        .and(header("authorization", "Bearer token"))
        .and(body_partial_json(expected))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    let hook = Webhook::new(&format!("{}/hook", server.uri())).unwrap().bearer_token("token");

    hook.deliver(&notification(Status::Resolved)).await.unwrap();
}

#[tokio::test]
async fn status_decides_whether_it_is_tried_again() {
    for (status, retryable) in
        [(302, false), (400, false), (404, false), (408, true), (429, true), (503, true)]
    {
        let (_server, hook) = answering(ResponseTemplate::new(status)).await;

        let error = hook.deliver(&notification(Status::Firing)).await.unwrap_err();

        assert!(matches!(error, Error::Rejected { status: got, .. } if got == status));
        assert_eq!(error.is_retryable(), retryable, "{status}");
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let (target, _) = answering(ResponseTemplate::new(200)).await;
    let moved = ResponseTemplate::new(307).insert_header("location", target.uri().as_str());
    let (_server, hook) = answering(moved).await;

    let result = hook.deliver(&notification(Status::Firing)).await;

    assert!(matches!(result, Err(Error::Rejected { status: 307, .. })));
    assert!(target.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn slow_receiver_is_a_timeout() {
    let (_server, hook) = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
    let hook = hook.timeout(Duration::from_millis(50));

    let error = hook.deliver(&notification(Status::Firing)).await.unwrap_err();

    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_does_not_tell_the_address() {
    let hook = Webhook::new("http://127.0.0.1:1/services/hidden").unwrap();

    let error = hook.deliver(&notification(Status::Firing)).await.unwrap_err();

    assert!(error.is_retryable());
    assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
}
