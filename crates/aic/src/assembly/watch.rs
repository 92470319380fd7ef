//! The machine watched in the background: readings, and alerts over them.
use std::sync::Arc;
use std::time::Duration;

use aic_alerts::{Alerts, LogNotifier, default_rules};
use aic_monitor::{Monitor, Probe, Running};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::adapters::MonitorSource;
use crate::config::{AlertsConfig, MonitorConfig};
use crate::{Error, Result};

/// A monitor that polls and alerts that are evaluated, until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) monitor: Monitor,
    pub(crate) alerts: Arc<Alerts>,
    polling: Option<Running>,
    evaluating: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(config: &MonitorConfig, alerts: &AlertsConfig, readings: impl Probe) -> Result<Self> {
        let started = |error| Error::Start { part: "monitor", source: Box::new(error) };
        let monitor =
            Monitor::builder().interval(config.interval).probe(readings).build().map_err(started)?;
        let polling = config.enabled.then(|| monitor.start()).transpose().map_err(started)?;
        let alerts = Arc::new(rules(alerts, &monitor)?);
        let evaluating = config.enabled.then(|| tokio::spawn(evaluate(Arc::clone(&alerts), config.interval)));
        Ok(Self { monitor, alerts, polling, evaluating })
    }

    /// Stops polling and evaluating, and waits for the round in progress.
    pub(crate) async fn stop(mut self) {
        if let Some(task) = self.evaluating.take() {
            task.abort();
            let _ = task.await; // Cancelled, as it was told to.
        }
        let polling = self.polling.take();
        let _ = tokio::task::spawn_blocking(move || drop(polling)).await; // Joins the monitor's thread.
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.evaluating {
            task.abort();
        }
    }
}

fn rules(config: &AlertsConfig, monitor: &Monitor) -> Result<Alerts> {
    let defaults = if config.default_rules { default_rules() } else { Vec::new() };
    let builder = Alerts::builder().source(MonitorSource::new(monitor.clone())).notifier(LogNotifier::new());
    let builder = builder.rules(defaults).rules(config.rules.clone());
    builder.build().map_err(|error| Error::Start { part: "alerts", source: Box::new(error) })
}

async fn evaluate(alerts: Arc<Alerts>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        alerts.evaluate().await;
    }
}
