//! Alert rules over any metric, with states like Prometheus and delivery through notifiers.
//!
//! Start with [`Alerts::builder`]: give it rules ([`Rule::builder`], [`default_rules`] or a file), a [`Source`] that
//! knows the numbers and [`Notifier`]s that tell somebody, and call [`Alerts::evaluate`] every few seconds.
//!
//! ```
//! use std::sync::Arc;
//! use aic_alerts::{Alerts, LogNotifier, Op, Phase, Rule, TableSource};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> aic_alerts::Result<()> {
//! let source = Arc::new(TableSource::new());
//! let rule = Rule::builder("queue_long", "queue_length", Op::Above, 100.0)
//!     .summary("{value} requests are waiting in {queue}")
//!     .build()?;
//! let alerts = Alerts::builder()
//!     .rule(rule)
//!     .source(Arc::clone(&source))
//!     .notifier(LogNotifier::new())
//!     .build()?;
//!
//! source.set("queue_length", [("queue", "chat")], Some(250.0));
//! let transitions = alerts.evaluate().await;
//!
//! assert_eq!(transitions[0].to, Phase::Firing);
//! assert_eq!(alerts.active()[0].summary, "250 requests are waiting in chat");
//! # Ok(())
//! # }
//! ```
//!
//! An alert is one series that breaks a rule: inactive, then pending for the rule's `for`, then firing, then
//! resolved; [`state`] has the exact transitions. Data that is missing is not data that is fine: it resolves
//! nothing until the rule's `absent_for` has passed, and then says so.
mod alert;
mod builder;
mod clock;
mod defaults;
mod duration;
mod engine;
mod error;
mod notification;
mod notifier;
mod op;
mod outbox;
mod rule;
mod severity;
mod source;
pub mod state;
mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timestamp;
mod unit;

pub use alert::{Alert, Transition};
pub use builder::AlertsBuilder;
pub use clock::{Clock, SystemClock};
pub use defaults::default_rules;
pub use engine::Alerts;
pub use error::{BoxError, Error, Result};
pub use notification::{Notification, Status};
#[cfg(feature = "mqtt")]
pub use notifier::Mqtt;
#[cfg(feature = "webhook")]
pub use notifier::Webhook;
pub use notifier::{LogNotifier, Notifier};
pub use op::Op;
pub use outbox::Deliveries;
pub use rule::{Rule, RuleBuilder};
pub use severity::Severity;
pub use source::{Labels, Observation, Source, TableSource};
pub use state::Phase;
