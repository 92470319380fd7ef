use std::fmt;

/// Prints a number of bytes with a binary unit: `1.5 GiB`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let step = (0..4).take_while(|step| self.0 >> (10 * (step + 1)) > 0).count();
        if step == 0 {
            return write!(f, "{} B", self.0);
        }
        write!(f, "{:.1} {}", self.0 as f64 / (1_u64 << (10 * step)) as f64, UNITS[step])
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn sizes_print_with_the_largest_unit_below_them() {
        let printed = [0, 1023, 1024, 1536, 3 << 30].map(|bytes| Bytes(bytes).to_string());

        assert_eq!(printed, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "3.0 GiB"]);
    }
}
