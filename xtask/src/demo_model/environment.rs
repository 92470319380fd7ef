//! Memory in large pages: training frees and takes hundreds of megabytes in every step, and a quarter of the time went into
//! page faults before (measured on two cores under Linux with glibc).

use std::process::{Command, ExitCode};

use crate::Result;

/// Read by glibc before the program starts; other allocators ignore it.
const VARIABLE: &str = "GLIBC_TUNABLES";
const TUNABLES: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456";

/// Starts this program again with large pages and waits for it; `None` if it already has them, or chose its own.
pub(crate) fn again_with_large_pages() -> Result<Option<ExitCode>> {
    if cfg!(not(target_os = "linux")) || std::env::var_os(VARIABLE).is_some() {
        return Ok(None);
    }
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.args(std::env::args_os().skip(1)).env(VARIABLE, TUNABLES).status()?;
    Ok(Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}
