//! Quantiles of one caller's calls.

use std::time::Duration;

#[derive(Clone, Default)]
pub(crate) struct Table {
    /// One sorted list per block.
    blocks: Vec<Vec<Duration>>,
}

impl Table {
    pub(crate) fn add(&mut self, mut block: Vec<Duration>) {
        block.sort();
        self.blocks.push(block);
    }

    /// The median over the blocks of a quantile, in microseconds: one disturbed block does not decide.
    fn quantile(&self, q: f64) -> f64 {
        let rank = |block: &Vec<Duration>| {
            block[((block.len() - 1) as f64 * q).round() as usize].as_secs_f64() * 1e6
        };
        let mut ranks: Vec<f64> = self.blocks.iter().map(rank).collect();
        ranks.sort_by(f64::total_cmp);
        ranks[ranks.len() / 2]
    }

    pub(crate) fn print(&self, name: &str, direct: &Self) {
        print!("{name:40}");
        for (label, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            let (own, bare) = (self.quantile(q), direct.quantile(q));
            print!("  {label} {own:8.1} µs ({:+8.1})", own - bare);
        }
        println!();
    }
}
