#![no_main]

use aic_router::testing::Wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aic_router_fuzz::check(Wire::Anthropic, data));
