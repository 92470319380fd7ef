use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Accounts;
use crate::{Error, Result};

/// The form of the file that this version reads and writes.
const VERSION: u32 = 1;
/// A thousand models of eleven tasks and a thousand tenants, all with the longest names, stay below this.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What [`Accounts::save`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// What is now in the file: the accounts saved, and all that were there before.
    pub sum: Accounts,
    /// Where a damaged file was moved; its accounts are not in the sum.
    pub put_aside: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    accounts: Accounts,
}

impl Accounts {
    /// Reads the accounts saved in a file; a file that is not there has none. Blocks.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read or is not one of accounts. It is left as it is.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read(path).map_err(Error::file("read accounts from", path.display()))
    }

    /// Adds these accounts to those in a file, which is made if it is not there. Blocks, for a few milliseconds.
    ///
    /// Several programs may save to one file: a lock on a file beside it, `.lock` added to its name, lets one do
    /// so at a time. The file is replaced and not edited, so a crash leaves the old sum or the new one. A
    /// damaged file is put aside under another name, and counting begins anew.
    ///
    /// # Errors
    /// [`Error::File`] if the file can be neither read nor put aside, or not be written, or the lock not taken.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<Saved> {
        let path = path.as_ref();
        self.add_to(path).map_err(Error::file("save accounts to", path.display()))
    }

    fn add_to(&self, path: &Path) -> io::Result<Saved> {
        let lock =
            File::options().create(true).truncate(false).write(true).open(with_suffix(path, ".lock"))?;
        lock.lock()?;
        let (mut sum, put_aside) = match read(path) {
            Ok(accounts) => (accounts, None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                (Self::default(), Some(set_aside(path, &error)?))
            }
            Err(error) => return Err(error),
        };
        sum.merge(self);
        replace(path, &sum)?;
        Ok(Saved { sum, put_aside })
    }
}

fn read(path: &Path) -> io::Result<Accounts> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Accounts::default()),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(invalid(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(invalid)?;
    if document.version != VERSION {
        return Err(invalid(format!("version {} found, expected {VERSION}", document.version)));
    }
    // By way of `merge`, so that the bounds hold for a foreign file too.
    let mut accounts = Accounts::default();
    accounts.merge(&document.accounts);
    Ok(accounts)
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Moves a damaged file to the first free name, so that nothing is lost that somebody might still mend.
fn set_aside(path: &Path, why: &io::Error) -> io::Result<PathBuf> {
    let names = (1..u32::MAX).map(|number| with_suffix(path, &format!(".damaged-{number}")));
    let aside = names.into_iter().find(|name| !name.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    tracing::warn!(path = %path.display(), aside = %aside.display(), %why, "damaged accounts put aside");
    Ok(aside)
}

/// The lock is held, so one name will do.
fn replace(path: &Path, accounts: &Accounts) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    let document = Document { version: VERSION, accounts: accounts.clone() };
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(&document)?)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::tests::booking;
    use super::*;
    use crate::NanoUsd;

    fn one_call() -> Accounts {
        let mut accounts = Accounts::default();
        accounts.book(&booking("m", Some("t"), Some(7)));
        accounts
    }

    #[test]
    fn saves_of_several_programs_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("costs.json");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5).for_each(|_| drop(one_call().save(&path).unwrap())));
            }
        });

        let total = Accounts::load(&path).unwrap().total();

        assert_eq!((total.calls, total.cost), (20, NanoUsd(140)));
    }

    #[test]
    fn file_that_is_not_there_has_no_accounts() {
        let folder = tempfile::tempdir().unwrap();

        assert_eq!(Accounts::load(folder.path().join("none.json")).unwrap(), Accounts::default());
    }

    #[test]
    fn damaged_file_is_put_aside_and_counting_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("costs.json");
        let whole = serde_json::to_string(&Document { version: 2, accounts: one_call() }).unwrap();
        for (number, damaged) in ["{\"version\": 1, \"acc", &whole].into_iter().enumerate() {
            fs::write(&path, damaged).unwrap();
            assert_eq!(
                Accounts::load(&path).unwrap_err().to_string(),
                format!("cannot read accounts from {}", path.display())
            );

            let saved = one_call().save(&path).unwrap();

            assert_eq!(saved.sum, one_call());
            let aside = saved.put_aside.unwrap();
            assert!(aside.ends_with(format!("costs.json.damaged-{}", number + 1)));
            assert_eq!(fs::read_to_string(aside).unwrap(), damaged);
            assert_eq!(Accounts::load(&path).unwrap(), one_call());
        }
    }

    #[test]
    fn folder_that_is_not_there_is_an_error_with_the_path() {
        let error = one_call().save("/nowhere/at/all/costs.json").unwrap_err();

        assert_eq!(error.to_string(), "cannot save accounts to /nowhere/at/all/costs.json");
    }
}
