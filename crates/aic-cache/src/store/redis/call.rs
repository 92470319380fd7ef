use std::time::Duration;

use ::redis::{Arg, FromRedisValue, Pipeline};
use deadpool::managed::Object;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::{
    RedisStore,
    breaker::{Change, Shut},
    dialer::Connection,
    failure::Failure,
    pool::{Pooled, Source},
    shards::Shard,
};
use crate::{BoxError, Error, Result};

/// How often connections are replaced because a server takes no writes: it may well be read-only for good.
const REPLACE_EVERY: Duration = Duration::from_secs(1);

impl RedisStore {
    /// Carries out `commands` in one round trip if the breaker allows, within the deadline. Where the
    /// connection ends, they may be carried out twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let name = self.name_in(commands);
        let shard = self.0.shards.of(name);
        if let Err(shut) = self.0.shards.admit(shard, self.0.clock.now()) {
            self.refuse(shut, shard, name);
            return Err(self.unavailable(LeftAlone { pause: shut.pause }));
        }
        let limit = self.0.connect_timeout + self.0.response_timeout;
        let answer = timeout(limit, self.attempt_twice(commands)).await;
        let answer = answer.unwrap_or(Err(Failure::Late { limit }));
        let served = answer.as_ref().map_or_else(Failure::served, |_| Some(true));
        served.inspect(|&served| self.record(shard, served));
        answer.map_err(|failure| self.unavailable(failure))
    }

    async fn attempt_twice<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        match self.attempt(commands).await {
            Err(Failure::Broken(_)) => self.attempt(commands).await,
            answer => answer,
        }
    }

    async fn attempt<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        let begun = Instant::now();
        let connecting = |error| Failure::connecting(error, self.0.connect_timeout);
        let mut pooled = self.0.pool.get().await.map_err(connecting)?;
        let limit = self.0.response_timeout;
        let answer = match timeout(limit, commands.query_async(&mut pooled.connection)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Late { limit }),
        };
        answer.inspect_err(|failure| self.draw_conclusions(failure, pooled, begun))
    }

    /// Decides which connections are fit for the next call.
    fn draw_conclusions(&self, failure: &Failure, pooled: Object<Source>, begun: Instant) {
        match failure {
            Failure::ReadOnly(_) => self.look_for_the_master(begun),
            // Its client mends itself, and the other nodes may be well.
            _ if matches!(pooled.connection, Connection::Cluster(_)) => {}
            // What else was connected before is as dead.
            Failure::Broken(_) => {
                self.0.pool.manager().outdate(begun);
                drop(Object::take(pooled));
            }
            // The reply that is still to come would hold up the next caller.
            Failure::Late { .. } => drop(Object::take(pooled)),
            _ => {}
        }
    }

    /// Has all connections replaced: the master may be elsewhere by now.
    fn look_for_the_master(&self, begun: Instant) {
        let (mut replaced, now) = (self.0.replaced.lock(), self.0.clock.now());
        if replaced.is_none_or(|at| now.saturating_duration_since(at) >= REPLACE_EVERY) {
            *replaced = Some(now);
            self.0.pool.manager().outdate(begun);
        }
    }

    fn refuse(&self, shut: Shut, shard: Shard, name: Option<&[u8]>) {
        if shut.probe {
            tokio::spawn(self.clone().probe(shard, name.map(<[u8]>::to_vec)));
        }
    }

    /// Finds out on a new connection whether the server is back. Nobody waits for this, so it may take longer
    /// than a call.
    async fn probe(self, shard: Shard, name: Option<Vec<u8>>) {
        let begun = Instant::now();
        let alive = self.sign_of_life(begun, name).await;
        match &alive {
            Ok(_) => self.0.pool.manager().outdate(begun),
            Err(error) => debug!(%error, store = self.0.address, "still unavailable"),
        }
        self.record(shard, alive.is_ok());
        if let Ok(connection) = alive {
            self.0.pool.manager().spare(connection);
        }
    }

    /// A Cluster is asked about a name, so that the node which serves it answers.
    async fn sign_of_life(&self, begun: Instant, name: Option<Vec<u8>>) -> Result<Pooled, Failure> {
        let mut pooled = self.0.pool.manager().connect(begun).await?;
        let question = match name {
            Some(name) => ::redis::cmd("EXISTS").arg(name).to_owned(),
            None => ::redis::cmd("PING"),
        };
        let limit = self.0.response_timeout;
        let answer = timeout(limit, question.exec_async(&mut pooled.connection)).await;
        match answer.map_err(|_| Failure::Late { limit })?.map_err(Failure::from) {
            Err(failure) if failure.served() == Some(false) => Err(failure),
            _ => Ok(pooled),
        }
    }

    fn record(&self, shard: Shard, served: bool) {
        match self.0.shards.record(shard, served, self.0.clock.now()) {
            Some(Change::Opened) => {
                warn!(store = self.0.address, ?shard, "left alone after repeated failures");
            }
            Some(Change::Closed) => info!(store = self.0.address, ?shard, "in use again"),
            None => {}
        }
        if !served && self.0.shards.all_shut() {
            // The client of a Cluster that was rebuilding its map of slots when the last node went would go on
            // trying without a rest.
            self.0.pool.retain(|_, _| false);
            self.0.pool.manager().forget();
        }
    }

    /// The first name of ours in `commands`.
    fn name_in<'a>(&self, commands: &'a Pipeline) -> Option<&'a [u8]> {
        let arguments = commands.cmd_iter().flat_map(|command| command.args_iter().skip(1));
        let mut texts = arguments.filter_map(|argument| match argument {
            Arg::Simple(text) => Some(text),
            _ => None,
        });
        texts.find(|text| text.starts_with(self.0.prefix.as_bytes()))
    }

    pub(super) fn unavailable(&self, source: impl Into<BoxError>) -> Error {
        Error::Unavailable { store: format!("redis at {}", self.0.address), source: source.into() }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("left alone for {} ms more after repeated failures", pause.as_millis())]
pub(super) struct LeftAlone {
    pause: Duration,
}
