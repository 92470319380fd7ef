use serde::{Deserialize, Serialize};

use crate::{NanoUsd, Usage};

/// What a model's tokens cost.
///
/// Only tokens of text are told apart: where a model's audio or pictures cost more than its text, or its
/// provider asks more for a longer life in the prompt cache or for a quicker service, that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// A million tokens read.
    pub input: NanoUsd,
    /// A million tokens read from the provider's prompt cache; `None` where they cost as much as others.
    #[serde(default)]
    pub cached_input: Option<NanoUsd>,
    /// A million tokens written to the provider's prompt cache; `None` where they cost as much as others.
    #[serde(default)]
    pub cache_write_input: Option<NanoUsd>,
    /// A million tokens written.
    pub output: NanoUsd,
    /// The largest input, in tokens, this price holds for. `None` for any.
    #[serde(default)]
    pub input_limit: Option<u64>,
    /// What all tokens of a call cost, those below the limit too, whose input is above `input_limit`; `None`
    /// where unknown. Means nothing without a limit.
    #[serde(default)]
    pub above: Option<Tier>,
}

/// What the tokens of a call with a long input cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// A million tokens read.
    pub input: NanoUsd,
    /// A million tokens read from the provider's prompt cache; `None` where they cost as much as others.
    #[serde(default)]
    pub cached_input: Option<NanoUsd>,
    /// A million tokens written to the provider's prompt cache; `None` where they cost as much as others.
    #[serde(default)]
    pub cache_write_input: Option<NanoUsd>,
    /// A million tokens written.
    pub output: NanoUsd,
}

impl Price {
    /// Nothing to pay, as for a model on one's own machine (its electricity is not counted).
    pub const FREE: Self = Self {
        input: NanoUsd(0),
        cached_input: None,
        cache_write_input: None,
        output: NanoUsd(0),
        input_limit: None,
        above: None,
    };

    /// A price in dollars per million tokens, as price lists state it: `Price::per_million(0.15, 0.60)`.
    ///
    /// Rounded to a billionth of a dollar; negative and non-finite amounts count as 0.
    pub fn per_million(input: f64, output: f64) -> Self {
        let nano = |dollars: f64| {
            if dollars.is_finite() { NanoUsd((dollars * 1e9).round() as u64) } else { NanoUsd(0) }
        };
        Self { input: nano(input), output: nano(output), ..Self::FREE }
    }

    /// What `usage` costs, rounded up to a billionth of a dollar; `None` where the price for so long an input
    /// is unknown. Above 18 billion dollars it stays there.
    ///
    /// Tokens not known to be cached are charged in full. A part of the input that the provider counts both as
    /// read from its cache and as written to it is charged as read.
    pub fn cost(&self, usage: Usage) -> Option<NanoUsd> {
        let tier = self.tier(usage.input)?;
        let cached = usage.cached_input.unwrap_or(0).min(usage.input);
        let written = usage.cache_write_input.unwrap_or(0).min(usage.input - cached);
        Some(total([
            (usage.input - cached - written, tier.input),
            (cached, tier.cached_input.unwrap_or(tier.input)),
            (written, tier.cache_write_input.unwrap_or(tier.input)),
            (usage.output, tier.output),
        ]))
    }

    fn tier(&self, input_tokens: u64) -> Option<Tier> {
        if self.input_limit.is_some_and(|limit| input_tokens > limit) {
            return self.above;
        }
        let Self { input, cached_input, cache_write_input, output, .. } = *self;
        Some(Tier { input, cached_input, cache_write_input, output })
    }
}

fn total(parts: [(u64, NanoUsd); 4]) -> NanoUsd {
    let amounts = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(price.0));
    let sum = amounts.fold(0u128, u128::saturating_add);
    NanoUsd(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(input: u64, cached: u64, written: u64, output: u64) -> Usage {
        let (cached_input, cache_write_input) = (Some(cached), Some(written));
        Usage { input, cached_input, cache_write_input, output, reasoning: None }
    }

    fn tiered() -> Price {
        let above = Tier {
            input: NanoUsd(2_500_000_000),
            cached_input: Some(NanoUsd(250_000_000)),
            cache_write_input: None,
            output: NanoUsd(15_000_000_000),
        };
        Price { input_limit: Some(200_000), above: Some(above), ..Price::per_million(1.25, 10.0) }
    }

    #[test]
    fn tokens_read_from_and_written_to_the_cache_have_their_own_prices() {
        let price = Price {
            cached_input: Some(NanoUsd(75_000_000)),
            cache_write_input: Some(NanoUsd(187_500_000)),
            ..Price::per_million(0.15, 0.60)
        };

        let cost = price.cost(usage(1_000, 400, 200, 500));

        assert_eq!(cost, Some(NanoUsd(400 * 150 + 400 * 75 + 200 * 375 / 2 + 500 * 600)));
    }

    #[test]
    fn long_input_costs_the_dearer_tier_as_a_whole() {
        let price = tiered();

        assert_eq!(price.cost(usage(200_000, 0, 0, 1)), Some(NanoUsd(200_000 * 1_250 + 10_000)));
        assert_eq!(price.cost(usage(200_001, 1, 0, 1)), Some(NanoUsd(200_000 * 2_500 + 250 + 15_000)));
    }

    #[test]
    fn input_above_the_known_tier_has_no_cost() {
        let price = Price { above: None, ..tiered() };

        assert_eq!(price.cost(usage(200_001, 0, 0, 1)), None);
    }

    #[test]
    fn amounts_that_are_none_count_as_nothing() {
        let price = Price::per_million(f64::INFINITY, -1.0);

        assert_eq!(price, Price::FREE);
    }

    #[test]
    fn greatest_numbers_stop_at_the_greatest_amount() {
        let most = NanoUsd(u64::MAX);
        let price = Price { input: most, output: most, cached_input: Some(most), ..Price::FREE };

        assert_eq!(price.cost(usage(u64::MAX, 1, u64::MAX, u64::MAX)), Some(most));
    }

    proptest! {
        #[test]
        fn cost_never_falls_when_tokens_are_added(i in 0u64..1 << 40, o in 0u64..1 << 40, more in 0u64..1 << 40) {
            for price in [Price::per_million(3.0, 15.0), tiered()] {
                prop_assert!(price.cost(usage(i + more, 0, 0, o)) >= price.cost(usage(i, 0, 0, o)));
                prop_assert!(price.cost(usage(i, 0, 0, o + more)) >= price.cost(usage(i, 0, 0, o)));
            }
        }

        #[test]
        fn cost_is_the_exact_sum_rounded_up(
            tokens in prop::array::uniform4(0u64..1 << 40), prices in prop::array::uniform4(0u64..1 << 40),
        ) {
            let [plain, cached, written, output] = tokens;
            let [input, cached_input, cache_write_input, output_price] = prices.map(NanoUsd);
            let price = Price {
                input,
                cached_input: Some(cached_input),
                cache_write_input: Some(cache_write_input),
                output: output_price,
                ..Price::FREE
            };
            let exact: u128 = tokens.iter().zip(prices).map(|(t, p)| u128::from(*t) * u128::from(p)).sum();

            let cost = price.cost(usage(plain + cached + written, cached, written, output)).unwrap();

            let charged = u128::from(cost.0) * 1_000_000;
            prop_assert!(cost.0 == u64::MAX || (charged >= exact && charged - exact < 1_000_000));
        }

        #[test]
        fn any_usage_at_any_price_has_a_cost(numbers in prop::array::uniform8(any::<u64>())) {
            let [i, c, w, o, pi, pc, pw, po] = numbers;
            let price = Price {
                input: NanoUsd(pi),
                cached_input: Some(NanoUsd(pc)),
                cache_write_input: Some(NanoUsd(pw)),
                output: NanoUsd(po),
                ..Price::FREE
            };

            prop_assert!(price.cost(usage(i, c, w, o)).is_some());
        }
    }
}
