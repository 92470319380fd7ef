use serde::{Deserialize, Serialize};

use crate::{NanoUsd, Usage};

/// What a model's tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// A million tokens read.
    pub input: NanoUsd,
    /// A million tokens read from the provider's prompt cache; `None` where they cost as much as others.
    pub cached_input: Option<NanoUsd>,
    /// A million tokens written.
    pub output: NanoUsd,
    /// The largest input, in tokens, this price holds for. Dearer tiers above it are not known here.
    pub input_limit: Option<u64>,
}

impl Price {
    /// Nothing to pay, as for a model on one's own machine (its electricity is not counted).
    pub const FREE: Self =
        Self { input: NanoUsd(0), cached_input: None, output: NanoUsd(0), input_limit: None };

    /// A price in dollars per million tokens, as price lists state it: `Price::per_million(0.15, 0.60)`.
    ///
    /// Rounded to a billionth of a dollar; negative and non-finite amounts count as 0.
    pub fn per_million(input: f64, output: f64) -> Self {
        let nano = |dollars: f64| NanoUsd((dollars * 1e9).round() as u64);
        Self { input: nano(input), output: nano(output), ..Self::FREE }
    }

    /// What `usage` costs, rounded up to a billionth of a dollar; `None` above the price's input limit.
    ///
    /// Tokens not known to be cached are charged in full, so the amount is never too small.
    pub fn cost(&self, usage: Usage) -> Option<NanoUsd> {
        if self.input_limit.is_some_and(|limit| usage.input > limit) {
            return None;
        }
        let cached = usage.cached_input.unwrap_or(0).min(usage.input);
        let parts = [
            (usage.input - cached, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (usage.output, self.output),
        ];
        Some(total(parts))
    }
}

fn total(parts: [(u64, NanoUsd); 3]) -> NanoUsd {
    let sum: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(price.0)).sum();
    NanoUsd(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage { input, cached_input: Some(cached), output, ..Usage::default() }
    }

    #[test]
    fn cached_tokens_cost_their_own_price() {
        let price = Price { cached_input: Some(NanoUsd(75_000_000)), ..Price::per_million(0.15, 0.60) };

        let cost = price.cost(usage(1_000, 400, 500));

        assert_eq!(cost, Some(NanoUsd(600 * 150 + 400 * 75 + 500 * 600)));
    }

    #[test]
    fn input_above_the_known_tier_has_no_cost() {
        let price = Price { input_limit: Some(200_000), ..Price::per_million(1.25, 10.0) };

        assert_eq!(price.cost(usage(200_001, 0, 1)), None);
    }

    proptest! {
        #[test]
        fn cost_never_falls_when_tokens_are_added(i in 0u64..1 << 40, o in 0u64..1 << 40, more in 0u64..1 << 40) {
            let price = Price::per_million(3.0, 15.0);

            prop_assert!(price.cost(usage(i + more, 0, o)) >= price.cost(usage(i, 0, o)));
            prop_assert!(price.cost(usage(i, 0, o + more)) >= price.cost(usage(i, 0, o)));
        }
    }
}
