//! Debian's packages, installed without starting the services they bring.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;

/// Runs as root: while `policy-rc.d` answers 101, installing a package starts no service
/// ([Debian's `invoke-rc.d`](https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt)). Where
/// systemd runs, the services are kept from starting at the next boot, too.
const INSTALL: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get -q -o DPkg::Lock::Timeout=120 update || true
apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
if [ -d /run/systemd/system ]; then
    for service in redis-server mosquitto; do
        case " $* " in *" $service "*) systemctl disable --quiet "$service" || true ;; esac
    done
fi
"#;

/// An `apt-get` that may be used without asking for a password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apt {
    sudo: bool,
}

impl Apt {
    /// The one of this machine: as root, or through `sudo -n`.
    pub(crate) fn here() -> Option<Self> {
        process::find(&["apt-get"])?;
        let answers = |program: &str, args: &[&str]| {
            process::try_read(Command::new(program).args(args), Duration::from_secs(5))
        };
        if answers("id", &["-u"])?.trim() == "0" {
            return Some(Self { sudo: false });
        }
        answers("sudo", &["-n", "true"]).map(|_| Self { sudo: true })
    }

    /// Whether it is used as root, without `sudo`.
    pub(crate) fn is_root(self) -> bool {
        !self.sudo
    }

    /// Installs `packages`; what `apt-get` says is written to `log`.
    pub(crate) fn install(self, packages: &[&str], log: &Path) -> Result<()> {
        let mut command = if self.sudo { sudo_shell() } else { Command::new("sh") };
        command.args(["-c", INSTALL, "apt-get install"]).args(packages);
        process::run_logged(&mut command, log)
            .map_err(|error| Error::new(error.to_string().replace(INSTALL, "…")))
    }
}

fn sudo_shell() -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", "sh"]);
    command
}
