/// Gives memory that has been freed, and that the allocator keeps for later, back to the system.
///
/// For after a model's header was read: the texts of a large vocabulary are hundreds of thousands of pieces. Does something with
/// the C library of GNU, which keeps the most; takes about a millisecond.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
