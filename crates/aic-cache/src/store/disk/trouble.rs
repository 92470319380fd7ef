use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Why the file cannot be used just now. Cloned to everybody who waits for the same write.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What is in the file makes no sense: it is put aside.
    #[error("the file is damaged or another program's: {0}")]
    Damaged(String),
    /// Somebody has the file open.
    #[error(
        "another process, or another store in this one, has it open; give each a folder of its own, or share \
         entries through Redis"
    )]
    InUse,
    /// The operating system refused, as when the disk is full.
    #[error("the folder or the file in it cannot be made, read or written")]
    Io(#[source] Arc<io::Error>),
    /// More is waiting to be written than the queue holds.
    #[error("more than {0} bytes wait to be written: the disk is slower than the puts")]
    Full(usize),
    /// The last handle was dropped, or the runtime is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if is_nonsense(&error) => Self::Damaged(error.to_string()),
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo => io::Error::other("an earlier read or write failed").into(),
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// A file that is cut short or does not begin as redb's files do.
fn is_nonsense(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Does `work` on the file. redb checks what it reads, but not all of it: a damaged page may make it panic,
/// which counts as damage.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(Trouble::from),
        Err(panic) => Err(Trouble::Damaged(words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("redb panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_over_a_page_counts_as_damage() {
        let trouble = guard::<()>(|| panic!("page {} out of range", 7)).unwrap_err();

        assert!(matches!(trouble, Trouble::Damaged(words) if words == "page 7 out of range"));
    }

    #[test]
    fn full_disk_is_no_damage_but_a_file_cut_short_is() {
        let full = redb::Error::Io(io::ErrorKind::StorageFull.into());
        let cut = redb::Error::Io(io::ErrorKind::UnexpectedEof.into());

        assert!(matches!(full.into(), Trouble::Io(_)));
        assert!(matches!(cut.into(), Trouble::Damaged(_)));
    }
}
