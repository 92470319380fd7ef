use std::time::Duration;

use crate::{Op, Rule, RuleBuilder, Severity};

/// Rules for a machine that serves models, over the metrics of `aic-monitor`.
///
/// Memory of the machine and of each GPU, disks, processor, temperatures, and time lost waiting for memory or disk.
/// A metric that the source does not know breaks no rule.
pub fn default_rules() -> Vec<Rule> {
    let rules = [
        at_least("memory_high", "memory_utilization_ratio", 0.90, 120).summary("memory is {value} used"),
        at_least("memory_critical", "memory_utilization_ratio", 0.97, 30)
            .severity(Severity::Critical)
            .summary("memory is {value} used"),
        at_least("gpu_memory_high", "gpu_memory_utilization_ratio", 0.85, 60)
            .summary("memory of GPU {gpu} is {value} used"),
        at_least("gpu_memory_critical", "gpu_memory_utilization_ratio", 0.95, 30)
            .severity(Severity::Critical)
            .summary("memory of GPU {gpu} is {value} used"),
        at_least("disk_high", "disk_utilization_ratio", 0.90, 300).summary("disk {mount} is {value} full"),
        at_least("disk_critical", "disk_utilization_ratio", 0.97, 60)
            .severity(Severity::Critical)
            .summary("disk {mount} is {value} full"),
        at_least("cpu_saturated", "cpu_utilization_ratio", 0.95, 300)
            .over(Duration::from_secs(60))
            .summary("processor is {value} busy"),
        at_least("temperature_high", "temperature_celsius", 90.0, 120)
            .summary("sensor {sensor} is at {value}"),
        at_least("gpu_temperature_high", "gpu_temperature_celsius", 87.0, 120)
            .summary("GPU {gpu} is at {value}"),
        stalled("memory_pressure", "memory", 0.10, 60)
            .severity(Severity::Critical)
            .summary("all work waits for memory {value} of the time"),
        stalled("io_pressure", "io", 0.50, 300).summary("all work waits for disks {value} of the time"),
    ];
    rules.map(|rule| rule.build().expect("default rules are valid")).into()
}

fn at_least(name: &str, metric: &str, threshold: f64, pending_seconds: u64) -> RuleBuilder {
    Rule::builder(name, metric, Op::AtLeast, threshold)
        .pending_for(Duration::from_secs(pending_seconds))
        .keep_firing_for(Duration::from_secs(60))
}

fn stalled(name: &str, resource: &str, threshold: f64, pending_seconds: u64) -> RuleBuilder {
    at_least(name, "pressure_stall_ratio", threshold, pending_seconds)
        .over(Duration::from_secs(30))
        .label("resource", resource)
        .label("kind", "full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rules_are_valid_and_critical_ones_are_stricter() {
        let rules = default_rules();
        let threshold = |name: &str| rules.iter().find(|rule| rule.name() == name).unwrap().threshold();

        assert_eq!(threshold("gpu_memory_high"), 0.85);
        assert_eq!(threshold("gpu_memory_critical"), 0.95);
        assert!(threshold("memory_critical") > threshold("memory_high"));
    }
}
