//! A process that ends a server when the program that started it is gone.
//!
//! `Drop` does not run when a program is killed. So each server runs under a guard, which is this program
//! again, holding the read end of a pipe. However the starter ends, the pipe closes, and the guard ends
//! its server by process id.

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// The word that makes this program a guard.
pub(crate) const GUARD: &str = "--guard";

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs the program and arguments in `args` until standard input closes or the program ends.
pub(crate) fn guard(args: &[String]) -> Result<ExitCode> {
    let (program, args) = args.split_first().ok_or_else(|| Error::new("nothing to guard"))?;
    let mut server = Command::new(program).args(args).stdin(Stdio::null()).spawn()?;
    let starter_gone = when_input_closes();
    while starter_gone.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        if let Some(status) = server.try_wait()? {
            return Err(Error::new(format!("{program} ended by itself ({status})")));
        }
    }
    server.kill()?;
    server.wait()?;
    Ok(ExitCode::SUCCESS)
}

fn when_input_closes() -> Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // An error means the same as the end: nobody holds the other end any more.
        let _ = io::copy(&mut io::stdin().by_ref(), &mut io::sink());
        drop(sender);
    });
    receiver
}
