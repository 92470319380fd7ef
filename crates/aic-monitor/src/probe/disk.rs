use sysinfo::{Disk, DiskRefreshKind, Disks};

use super::{Probe, open};
use crate::rate::Rates;
use crate::{Absent, Memory, Moment, Reading, Result};

/// For each mounted disk, under the label `mount`: `disk_total_bytes`, `disk_available_bytes`,
/// `disk_utilization_ratio`, `disk_read_bytes_per_second` and `disk_written_bytes_per_second`.
///
/// Available is what an ordinary user can still write. Network file systems and `tmpfs` are left out, as are
/// read-only ones without any space.
#[derive(Debug, Default)]
pub struct DiskProbe {
    disks: Option<Disks>,
    read: Rates,
    written: Rates,
}

impl DiskProbe {
    /// A probe of all local disks.
    pub fn new() -> Self {
        Self::default()
    }

    fn readings(disk: &Disk, read: &mut Rates, written: &mut Rates, at: Moment) -> Vec<Reading> {
        let mount = disk.mount_point().to_string_lossy().into_owned();
        let space = Memory::new(disk.total_space(), disk.available_space());
        let io = disk.usage();
        let reads = read.update(&mount, at.instant, io.total_read_bytes as f64);
        let writes = written.update(&mount, at.instant, io.total_written_bytes as f64);
        let fields = [
            ("disk_total_bytes", Ok(space.total_bytes as f64)),
            ("disk_available_bytes", Ok(space.available_bytes as f64)),
            ("disk_utilization_ratio", space.utilization_ratio().ok_or(Absent::NotSupported)),
            ("disk_read_bytes_per_second", reads),
            ("disk_written_bytes_per_second", writes),
        ];
        fields.map(|(metric, value)| Reading::new(metric, value, at).label("mount", mount.clone())).into()
    }
}

impl Probe for DiskProbe {
    fn name(&self) -> &str {
        "disk"
    }

    fn read(&mut self, at: Moment) -> Result<Vec<Reading>> {
        let disks = open(&mut self.disks, "disk", Disks::new)?;
        disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage().with_io_usage());
        let mut readings = Vec::new();
        for disk in disks.iter().filter(|disk| disk.total_space() > 0) {
            readings.extend(Self::readings(disk, &mut self.read, &mut self.written, at));
        }
        self.read.retain(at.instant);
        self.written.retain(at.instant);
        if readings.is_empty() {
            readings.push(Reading::new("disk_utilization_ratio", Err(Absent::NoDevice), at));
        }
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn each_disk_has_one_ratio_and_first_rates_are_absent() {
        let readings = DiskProbe::new().read(Moment::of(&SystemClock)).unwrap();

        let of = |metric: &str| readings.iter().filter(|r| r.metric == metric).collect::<Vec<_>>();
        let mounts: BTreeSet<_> = readings.iter().map(|r| &r.labels).collect();
        assert_eq!(of("disk_utilization_ratio").len(), mounts.len());
        assert!(of("disk_read_bytes_per_second").iter().all(|r| r.value == Err(Absent::FirstSample)));
    }
}
