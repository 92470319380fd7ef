use std::error::Error as _;

use ::redis::{ErrorKind, FromRedisValue, Pipeline, ServerErrorKind, ToRedisArgs};

use super::{RedisStore, failure::Failure};
use crate::{Error, Result};

/// Steps that the server carries out with nobody else's steps in between.
///
/// Every key of a script is in one slot of a cluster. [`::redis::Script`] would load a script it finds missing
/// on all nodes at once and so fail if any of them is down; sent whole, it goes to the node that has the keys
/// and is known there from then on.
pub(super) struct Script {
    code: String,
    hash: String,
}

impl Script {
    pub(super) fn new(code: impl Into<String>) -> Self {
        let code = code.into();
        Self { hash: ::redis::Script::new(&code).get_hash().to_owned(), code }
    }
}

impl RedisStore {
    /// Runs `script` with `keys` and `args`, by its hash if the server knows it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: impl ToRedisArgs,
    ) -> Result<T> {
        let call = |command, text: &str| {
            let mut call = Pipeline::new();
            call.cmd(command).arg(text).arg(keys.len()).arg(keys).arg(&args);
            call
        };
        let (answer,) = match self.ask(&call("EVALSHA", &script.hash)).await {
            Err(error) if is_unknown_script(&error) => self.ask(&call("EVAL", &script.code)).await?,
            answer => answer?,
        };
        Ok(answer)
    }
}

fn is_unknown_script(error: &Error) -> bool {
    let failure = error.source().and_then(|source| source.downcast_ref());
    matches!(failure, Some(Failure::Refused(cause)) if cause.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reply: &str) -> Error {
        let value = ::redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        let failure = Failure::from(value.extract_error().unwrap_err());
        Error::Unavailable { store: "redis".to_owned(), source: failure.into() }
    }

    #[test]
    fn script_is_known_to_the_server_by_its_sha1() {
        assert_eq!(Script::new("return 1").hash, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn only_a_script_the_server_does_not_know_is_sent_whole() {
        assert!(is_unknown_script(&refused("NOSCRIPT No matching script.")));
        assert!(!is_unknown_script(&refused("WRONGTYPE Operation against a key")));
        assert!(!is_unknown_script(&refused("LOADING Redis is loading the dataset in memory")));
    }
}
