//! Values for people, in the unit that a metric's name ends with.

pub(crate) fn pretty(metric: &str, value: f64) -> String {
    match metric {
        name if name.ends_with("_ratio") => format!("{} %", plain(value * 100.0)),
        name if name.ends_with("_bytes") => bytes(value),
        name if name.ends_with("_bytes_per_second") => format!("{}/s", bytes(value)),
        name if name.ends_with("_celsius") => format!("{} °C", plain(value)),
        name if name.ends_with("_watts") => format!("{} W", plain(value)),
        name if name.ends_with("_seconds") => format!("{} s", plain(value)),
        _ => plain(value),
    }
}

/// At most two digits after the point, and none that are zero.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bytes(value: f64) -> String {
    let mut scaled = value;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if scaled.abs() < 1024.0 {
            return format!("{} {unit}", plain(scaled));
        }
        scaled /= 1024.0;
    }
    format!("{} PiB", plain(scaled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_shown_in_the_unit_of_the_name() {
        assert_eq!(pretty("memory_utilization_ratio", 0.9), "90 %");
        assert_eq!(pretty("disk_available_bytes", 1536.0), "1.5 KiB");
        assert_eq!(pretty("gpu_temperature_celsius", 87.0), "87 °C");
        assert_eq!(pretty("queue_length", 250.0), "250");
        assert_eq!(pretty("load_average", 0.126), "0.13");
    }
}
