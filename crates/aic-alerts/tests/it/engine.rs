use std::sync::Arc;
use std::time::Duration;

use aic_alerts::testing::{ManualClock, RecordingNotifier};
use aic_alerts::{
    Alerts, Error, Labels, Op, Phase, Rule, RuleBuilder, Severity, Source, Status, TableSource,
};

const SECOND: Duration = Duration::from_secs(1);

fn rule() -> RuleBuilder {
    Rule::builder("disk_full", "disk_ratio", Op::AtLeast, 0.9).summary("{mount} is {value} full")
}

struct House {
    table: Arc<TableSource>,
    clock: Arc<ManualClock>,
    notifier: Arc<RecordingNotifier>,
    alerts: Alerts,
}

impl House {
    fn with(rule: RuleBuilder) -> Self {
        let (table, clock) = (Arc::new(TableSource::new()), ManualClock::new());
        let notifier = RecordingNotifier::new("recording");
        let alerts = Alerts::builder()
            .rule(rule.build().unwrap())
            .source(Arc::clone(&table))
            .notifier(Arc::clone(&notifier))
            .clock(Arc::clone(&clock))
            .build()
            .unwrap();
        Self { table, clock, notifier, alerts }
    }

    /// Sets the value for the disk `/`, lets a second pass and returns the phases that alerts went to.
    async fn see(&self, value: Option<f64>) -> Vec<Phase> {
        self.table.set("disk_ratio", [("mount", "/")], value);
        self.clock.advance(SECOND);
        self.alerts.evaluate().await.iter().map(|transition| transition.to).collect()
    }
}

#[tokio::test]
async fn alert_goes_from_pending_to_firing_to_resolved_and_both_ends_are_told() {
    let house = House::with(rule().pending_for(2 * SECOND).severity(Severity::Critical));

    assert_eq!(house.see(Some(0.5)).await, []);
    assert_eq!(house.see(Some(0.95)).await, [Phase::Pending]);
    assert_eq!(house.see(Some(0.96)).await, []);
    assert_eq!(house.alerts.active()[0].phase, Phase::Pending);
    assert_eq!(house.see(Some(0.97)).await, [Phase::Firing]);
    assert_eq!(house.alerts.active()[0].summary, "/ is 97 % full");
    assert_eq!(house.see(Some(0.1)).await, [Phase::Resolved]);
    assert!(house.alerts.active().is_empty());

    house.alerts.flush().await;
    let told = house.notifier.delivered();
    assert_eq!(told.iter().map(|n| n.status).collect::<Vec<_>>(), [Status::Firing, Status::Resolved]);
    assert_eq!(told[0].fingerprint, told[1].fingerprint);
    assert_eq!(told[0].started_at, told[1].started_at);
    assert_eq!(told[1].ended_at, Some(told[1].started_at + SECOND));
    assert_eq!(told[0].severity, Severity::Critical);
}

#[tokio::test]
async fn missing_data_does_not_resolve_until_it_is_given_up_and_that_is_said() {
    let house = House::with(rule().absent_for(2 * SECOND));
    house.see(Some(0.95)).await;

    assert_eq!(house.see(None).await, []);
    assert_eq!(house.alerts.active()[0].summary, "/ is unknown full");
    house.see(None).await;
    assert_eq!(house.see(None).await, [Phase::Resolved]);

    house.alerts.flush().await;
    let last = house.notifier.delivered().pop().unwrap();
    assert!(last.for_lack_of_data);
    assert_eq!(last.value, None);
}

#[tokio::test]
async fn each_series_has_an_alert_of_its_own_and_labels_narrow_the_rule() {
    let all = House::with(rule());
    let narrow = House::with(rule().label("mount", "/data"));

    for house in [&all, &narrow] {
        house.table.set("disk_ratio", [("mount", "/data")], Some(0.99));
        house.see(Some(0.99)).await;
    }

    assert_eq!(all.alerts.active().len(), 2);
    assert_eq!(narrow.alerts.active()[0].labels, Labels::from([("mount".into(), "/data".into())]));
    assert_eq!(narrow.alerts.active().len(), 1);
}

#[tokio::test]
async fn most_severe_alerts_come_first() {
    let table = Arc::new(TableSource::new());
    table.set_plain("x", Some(1.0));
    let rule =
        |name: &str, severity| Rule::builder(name, "x", Op::Above, 0.0).severity(severity).build().unwrap();
    let alerts = Alerts::builder()
        .rules([rule("a", Severity::Info), rule("b", Severity::Critical), rule("c", Severity::Warning)])
        .source(table)
        .build()
        .unwrap();

    alerts.evaluate().await;

    assert_eq!(alerts.active().iter().map(|alert| alert.rule.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
}

/// A series whose latest value is a spike in an otherwise low history.
#[derive(Debug)]
struct Spike;

impl Source for Spike {
    fn latest(&self, _: &str) -> Vec<aic_alerts::Observation> {
        vec![aic_alerts::Observation { labels: Labels::new(), value: Some(1.0) }]
    }

    fn history(&self, _: &str, _: &Labels, range: Duration) -> Vec<f64> {
        assert_eq!(range, 60 * SECOND);
        vec![0.1, 0.1, 0.1, 1.0]
    }
}

#[tokio::test]
async fn rule_over_a_while_judges_the_mean() {
    let rule = |name: &str| Rule::builder(name, "x", Op::Above, 0.5);
    let smooth = rule("smooth").over(60 * SECOND).build().unwrap();
    let alerts =
        Alerts::builder().rules([rule("sharp").build().unwrap(), smooth]).source(Spike).build().unwrap();

    let transitions = alerts.evaluate().await;

    assert_eq!(transitions.iter().map(|t| t.rule.as_str()).collect::<Vec<_>>(), ["sharp"]);
}

#[tokio::test]
async fn settings_that_clash_are_named() {
    let rule = || rule().build().unwrap();
    let notifier = || RecordingNotifier::new("twin");

    let no_source = Alerts::builder().rule(rule()).build();
    let rules = Alerts::builder().rules([rule(), rule()]).source(TableSource::new()).build();
    let notifiers =
        Alerts::builder().source(TableSource::new()).notifier(notifier()).notifier(notifier()).build();

    assert!(matches!(no_source, Err(Error::NoSource)));
    assert!(matches!(rules, Err(Error::DuplicateRule { rule }) if rule == "disk_full"));
    assert!(matches!(notifiers, Err(Error::DuplicateNotifier { notifier }) if notifier == "twin"));
}
