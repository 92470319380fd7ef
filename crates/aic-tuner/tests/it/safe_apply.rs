//! Changes to a pretended server whose latency is its configuration.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aic_tuner::{Apply, BoxError, Decision, Direction, Error, Guardrail, Metrics, SafeApply};

#[derive(Clone, Default)]
struct Server {
    latency: Arc<AtomicU32>,
    broken: Arc<AtomicBool>,
}

impl Server {
    fn running(latency: u32) -> Self {
        let server = Self::default();
        server.latency.store(latency, Ordering::Relaxed);
        server
    }

    fn latency(&self) -> u32 {
        self.latency.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> Result<Metrics, BoxError> {
        Ok([("latency".to_owned(), f64::from(self.latency()))].into())
    }

    fn safely(&self) -> SafeApply<u32, Server> {
        let rail = Guardrail::new("latency", Direction::Minimize).tolerance(0.1);
        SafeApply::builder(self.latency(), self.clone()).guardrail(rail).window(5).build().unwrap()
    }
}

impl Apply<u32> for Server {
    fn apply(&mut self, latency: &u32) -> Result<(), BoxError> {
        // A latency of 666 is half applied before it fails, and a broken server takes nothing.
        if self.broken.load(Ordering::Relaxed) {
            return Err("the server does not answer".into());
        }
        self.latency.store(*latency, Ordering::Relaxed);
        if *latency == 666 { Err("refused".into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_better_candidate_is_kept_and_a_worse_one_taken_back() {
    let server = Server::running(100);
    let mut safely = server.safely();

    let better = safely.try_out(90, || async { server.metrics() }).await.unwrap();
    let worse = safely.try_out(200, || async { server.metrics() }).await.unwrap();

    assert_eq!(better, Decision::Accepted);
    let reason = "latency went from 90.0000 to 200.0000; at most 99.0000 is allowed";
    assert_eq!(worse, Decision::RolledBack(reason.to_owned()));
    assert_eq!((server.latency(), *safely.accepted(), safely.history().len()), (90, 90, 2));
}

#[tokio::test]
async fn a_candidate_that_cannot_be_applied_is_taken_back() {
    let server = Server::running(100);
    let mut safely = server.safely();

    let error = safely.try_out(666, || async { server.metrics() }).await.unwrap_err();

    assert!(matches!(error, Error::TakenBack { stage: "applying", .. }));
    assert_eq!(server.latency(), 100);
}

#[tokio::test]
async fn a_candidate_that_cannot_be_observed_is_taken_back() {
    let server = Server::running(100);
    let mut safely = server.safely();

    let observe = || async {
        match server.latency() {
            100 => server.metrics(),
            _ => Err("no route".into()),
        }
    };
    let error = safely.try_out(95, observe).await.unwrap_err();

    assert!(matches!(error, Error::TakenBack { stage: "observing", .. }));
    assert_eq!(server.latency(), 100);
}

#[tokio::test(start_paused = true)]
async fn abandoning_a_change_takes_it_back() {
    let server = Server::running(100);
    let mut safely = server.safely();
    let observe = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.metrics()
    };

    let abandoned = tokio::time::timeout(Duration::from_millis(7500), async {
        tokio::time::sleep(Duration::ZERO).await;
        safely.try_out(95, observe).await
    });

    assert!(abandoned.await.is_err());
    assert_eq!(server.latency(), 100);
    assert_eq!(safely.history()[0].decision, Decision::RolledBack("abandoned".to_owned()));
}

#[tokio::test]
async fn a_restore_that_fails_is_tried_again_when_dropped() {
    let server = Server::running(100);
    let mut safely = server.safely();
    let mut observations = 0;
    let observe = || {
        observations += 1;
        server.broken.store(observations > 5, Ordering::Relaxed);
        let metrics = server.metrics();
        async { metrics }
    };

    let error = safely.try_out(200, observe).await.unwrap_err();

    assert!(matches!(error, Error::NotRestored { .. }));
    assert_eq!(server.latency(), 200);
    server.broken.store(false, Ordering::Relaxed);
    drop(safely);
    assert_eq!(server.latency(), 100);
}
