//! Calls at a rate.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::caller::Caller;

/// The system's sleep may take this much too long; the rest is waited for awake.
const OVERSLEEP: Duration = Duration::from_micros(80);

/// Starts `rate` calls per second, and returns how long each took from the moment it was due.
///
/// # Panics
/// If a call fails.
pub(crate) fn open_loop(runtime: &Runtime, rate: u32, length: Duration, caller: &Caller) -> Vec<Duration> {
    let (tell, told) = mpsc::channel();
    let calls = (f64::from(rate) * length.as_secs_f64()) as u32;
    let began = Instant::now();
    for call in 0..calls {
        let due = began + Duration::from_secs(1) * call / rate;
        wait(due);
        let (caller, tell) = (caller.clone(), tell.clone());
        runtime.spawn(async move {
            let result = caller.call().await;
            let _ = tell.send(result.map(|()| due.elapsed()));
        });
    }
    drop(tell);
    told.iter().map(|call| call.expect("the call succeeds")).collect()
}

fn wait(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > OVERSLEEP {
        std::thread::sleep(left - OVERSLEEP);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
