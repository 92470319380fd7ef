/// The probability that of `lost + gained` changes at least `lost` are losses if either is as likely: the one-sided exact
/// McNemar test (McNemar 1947), which is the sign test of the pairs that changed.
pub(super) fn sign_test(lost: usize, gained: usize) -> f64 {
    let changed = lost + gained;
    // ln of the binomial coefficients, from one to the next.
    let mut ln_ways = 0.0;
    let mut total = 0.0;
    for losses in 0..=changed {
        if losses >= lost {
            total += (ln_ways - changed as f64 * std::f64::consts::LN_2).exp();
        }
        ln_ways += ((changed - losses) as f64 / (losses + 1) as f64).ln();
    }
    total.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_coin_tosses() {
        for (lost, gained, expected) in
            [(0, 0, 1.0), (1, 0, 0.5), (5, 0, 1.0 / 32.0), (4, 1, 6.0 / 32.0), (0, 5, 1.0), (3, 3, 0.65625)]
        {
            let p = sign_test(lost, gained);
            assert!((p - expected).abs() < 1e-12, "{lost} {gained}: {p}");
        }
        assert!(sign_test(3000, 2000) < 1e-40 && sign_test(2000, 3000) > 0.999);
    }
}
