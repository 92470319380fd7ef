use std::time::Duration;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};
use deadpool::managed::{PoolError, TimeoutType};

/// Why a call had no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Every connection is in use. That says nothing about the server.
    #[error("all connections are in use")]
    Busy,
    /// The server said nothing in time.
    #[error("no answer within {} ms", limit.as_millis())]
    Late { limit: Duration },
    /// The connection ended. A new one may do.
    #[error(transparent)]
    Broken(RedisError),
    /// The server cannot be connected to, or says that it serves nobody now.
    #[error(transparent)]
    Down(RedisError),
    /// The server takes no writes here: it is not the master any more, or never was.
    #[error(transparent)]
    ReadOnly(RedisError),
    /// The server is well and refused this one command.
    #[error(transparent)]
    Refused(RedisError),
}

impl Failure {
    /// Whether the server was of use: `None` if that is not known.
    pub(super) fn served(&self) -> Option<bool> {
        match self {
            Self::Busy => None,
            Self::Late { .. } | Self::Broken(_) | Self::Down(_) => Some(false),
            Self::ReadOnly(_) | Self::Refused(_) => Some(true),
        }
    }

    /// Why no connection was had within `limit`.
    pub(super) fn connecting(error: PoolError<RedisError>, limit: Duration) -> Self {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Self::Busy,
            PoolError::Backend(error) => Self::Down(error),
            _ => Self::Late { limit },
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(kind) if is_out_of_service(kind) => Self::Down(error),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly(error),
            ErrorKind::Extension if is_busy(&error) => Self::Down(error),
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Refused(error),
            ErrorKind::UnexpectedReturnType | ErrorKind::Client => Self::Refused(error),
            _ => Self::Broken(error),
        }
    }
}

/// A redirection is here only if the Cluster's client followed several and gave up.
fn is_out_of_service(kind: ServerErrorKind) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, TryAgain};
    matches!(kind, Ask | BusyLoading | ClusterDown | MasterDown | Moved | TryAgain)
}

/// While a script runs for too long, every command is refused.
fn is_busy(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "BUSY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pipeline makes of `reply`.
    fn failure(reply: &str) -> Failure {
        let value = ::redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        Failure::from(value.extract_error().unwrap_err())
    }

    #[test]
    fn server_that_serves_nobody_is_down() {
        for reply in [
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "MOVED 3999 127.0.0.1:6381",
        ] {
            assert_eq!(failure(reply).served(), Some(false), "{reply}");
        }
    }

    #[test]
    fn refusal_of_one_command_leaves_the_server_in_service() {
        for reply in [
            "READONLY You can't write against a read only replica.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOPERM this user has no permissions to run the 'set' command",
            "NOAUTH Authentication required.",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Errors writing to the AOF file",
            "ERR unknown command",
        ] {
            assert_eq!(failure(reply).served(), Some(true), "{reply}");
        }
        assert!(matches!(failure("READONLY no"), Failure::ReadOnly(_)));
    }

    #[test]
    fn pool_that_is_used_up_says_nothing_about_the_server() {
        let failure = |error| Failure::connecting(error, Duration::from_millis(50));

        assert_eq!(failure(PoolError::Timeout(TimeoutType::Wait)).served(), None);
        assert_eq!(failure(PoolError::Timeout(TimeoutType::Create)).served(), Some(false));
    }

    #[test]
    fn connection_that_ended_and_reply_that_is_none_are_broken() {
        let ended = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));

        assert!(matches!(Failure::from(ended), Failure::Broken(_)));
        assert!(matches!(Failure::from(::redis::parse_redis_value(b"?").unwrap_err()), Failure::Broken(_)));
    }
}
