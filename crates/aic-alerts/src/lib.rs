//! Alert rules over any metric, with states like Prometheus and delivery through notifiers.
