//! What was used and spent, kept in a file from run to run.
use std::path::{Path, PathBuf};
use std::{env, fs};

use aic::router::Accounts;
use anstream::{eprintln, println};

use crate::show::{BAD, DIM};
use crate::{Outcome, chain};

pub(crate) fn costs(reset: bool) -> Outcome {
    let path = path();
    let accounts = Accounts::load(&path)?;
    if accounts.total().calls == 0 {
        println!("no calls in {}; `router ask` adds what it uses", path.display());
        return Ok(());
    }
    println!("{accounts}\n{DIM}from {}{DIM:#}", path.display());
    if reset {
        fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        println!("forgotten; counting begins anew");
    }
    Ok(())
}

/// Adds what this run used. That it cannot be kept is told, and nothing fails for it.
pub(crate) fn keep(accounts: &Accounts) {
    if accounts.total().calls == 0 {
        return;
    }
    let path = path();
    // Where the folder cannot be made, saving says why.
    let _ = path.parent().map(fs::create_dir_all);
    match accounts.save(&path).map(|saved| saved.put_aside) {
        Ok(None) => {}
        Ok(Some(aside)) => {
            eprintln!("{BAD}the accounts were damaged{BAD:#}; they are in {}", aside.display());
        }
        Err(error) => eprintln!("{BAD}not booked:{BAD:#} {}", chain(&error)),
    }
}

/// Where the accounts are: as AIC_COSTS says, or in the user's folder for state, or else in this one.
fn path() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("AIC_COSTS").unwrap_or_else(|| {
        let state = set("XDG_STATE_HOME").or_else(|| set("LOCALAPPDATA"));
        let state = state.or_else(|| Some(env::home_dir()?.join(".local/state")));
        state.map_or_else(|| Path::new("aic-costs.json").to_owned(), |state| state.join("aic/costs.json"))
    })
}
