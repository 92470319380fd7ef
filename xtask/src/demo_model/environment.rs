//! Settings of allocator and threads that only the environment can make, before a program starts.
//!
//! Training frees and takes hundreds of megabytes in every step: a quarter of the time went into page faults before memory
//! came in large pages. candle's threads wait for each other by spinning after each small operation: on a machine that does
//! something else too, that took another third. (Measured on two cores under Linux with glibc.)

use std::process::{Command, ExitCode};

use crate::Result;

/// Read by glibc; other allocators ignore it.
const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456",
);
/// Threads for element-wise operations; matrix products have their own.
const THREADS: (&str, &str) = ("CANDLE_NUM_THREADS", "1");
const DONE: &str = "AIC_DEMO_MODEL_ENVIRONMENT";

/// Starts this program again with these settings and waits for it; `None` if that has happened.
pub(crate) fn again_with_settings() -> Result<Option<ExitCode>> {
    if std::env::var_os(DONE).is_some() {
        return Ok(None);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).envs([ALLOCATOR, THREADS, (DONE, "1")]);
    Ok(Some(if command.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}
