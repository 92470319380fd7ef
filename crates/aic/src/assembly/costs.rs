//! Costs that add up in a file over runs and programs.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aic_router::{Accounts, Router};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Error, Result};

/// How often costs are written down.
const INTERVAL: Duration = Duration::from_secs(60);

/// Writes costs down every minute and at the end. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Costs {
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Ledger {
    router: Router,
    path: PathBuf,
    saved: Mutex<Accounts>,
}

impl Costs {
    /// Begins to write the router's costs to `path`; a file that cannot be read is an error now and not later.
    pub(crate) async fn start(path: &Path, router: Router) -> Result<Self> {
        let ledger = Ledger { router, path: path.to_owned(), saved: Mutex::default() };
        let ledger = Arc::new(ledger);
        write(&ledger).await?;
        let task = tokio::spawn(every_minute(ledger.clone()));
        Ok(Self { ledger, task })
    }

    /// Writes down what is left.
    pub(crate) async fn stop(self) {
        self.task.abort();
        warn(write(&self.ledger).await);
    }
}

impl Drop for Costs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn every_minute(ledger: Arc<Ledger>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        warn(write(&ledger).await);
    }
}

fn warn(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "costs not written down");
    }
}

async fn write(ledger: &Arc<Ledger>) -> Result<()> {
    let ledger = ledger.clone();
    let written = spawn_blocking(move || ledger.write()).await;
    written.map_err(|source| Error::Start { part: "file of costs", source: source.into() })?
}

impl Ledger {
    /// Adds what came since the last time. The lock is held meanwhile, so that nothing is added twice.
    fn write(&self) -> Result<()> {
        let mut saved = self.saved.lock();
        let now = self.router.accounts();
        now.since(&saved).save(&self.path)?;
        *saved = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aic_router::ChatRequest;
    use aic_router::testing::FakeProvider;

    use super::*;

    #[tokio::test]
    async fn costs_of_two_runs_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("costs.json");
        for _ in 0..2 {
            let router = Router::builder().provider(FakeProvider::new("p").model("m")).build().unwrap();
            let costs = Costs::start(&path, router.clone()).await.unwrap();
            router.chat(ChatRequest::user("hi")).await.unwrap().collect().await.unwrap();
            costs.stop().await;
        }

        assert_eq!(Accounts::load(&path).unwrap().total().calls, 2);
    }

    #[tokio::test]
    async fn place_that_cannot_be_written_is_told_at_the_start() {
        let router = Router::builder().build().unwrap();

        let error = Costs::start(Path::new("/nowhere/at/all.json"), router).await.unwrap_err();

        assert!(error.to_string().contains("/nowhere/at/all.json"), "{error}");
    }
}
