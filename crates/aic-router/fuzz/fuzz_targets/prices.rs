#![no_main]

use aic_router::Prices;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Whatever a table says, what it does not say is found nowhere, and overriding with it is safe.
    if let Ok(prices) = Prices::from_json(text) {
        let providers: Vec<String> = prices.providers().map(str::to_owned).collect();
        let both = Prices::builtin().clone().overridden_by(prices.clone());
        for provider in &providers {
            for model in prices.models(provider) {
                assert!(both.find(provider, &model.name).is_some());
            }
        }
    }
});
