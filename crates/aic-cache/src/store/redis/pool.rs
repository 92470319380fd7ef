use std::{sync::Arc, time::Duration};

use ::redis::{RedisError, RedisResult};
use deadpool::managed::{Manager, Metrics, Object, RecycleError, RecycleResult};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant, time::timeout};

use super::dialer::{Connection, Dialer};

/// A connection used this recently is taken to be alive without asking: if it is not, that shows at once.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long dialling goes on after the caller who needed the connection has given up.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) type Pool = deadpool::managed::Pool<Source>;

/// A connection and when it began to be made.
pub(super) struct Pooled {
    pub(super) connection: Connection,
    made: Instant,
}

/// Makes connections, and tells old ones from good ones.
///
/// Making one is not given up when the caller gives up: it goes on by itself and the next caller has it. So a
/// handshake that takes longer than a caller may wait, as with a Cluster one of whose nodes is silent, costs a
/// few misses and not the store.
#[derive(Clone)]
pub(super) struct Source(Arc<Inner>);

struct Inner {
    dialer: Dialer,
    /// How long a connection may take to answer that it is alive.
    response_timeout: Duration,
    /// Made for callers who did not wait.
    spares: Mutex<Vec<Pooled>>,
    spares_max: usize,
    /// Connections made earlier are not used any more.
    valid_from: Mutex<Instant>,
}

impl Source {
    pub(super) fn new(dialer: Dialer, response_timeout: Duration, spares_max: usize) -> Self {
        let valid_from = Mutex::new(Instant::now());
        Self(Arc::new(Inner { dialer, response_timeout, spares: Mutex::default(), spares_max, valid_from }))
    }

    /// Lets no connection made before `moment` be used again.
    pub(super) fn outdate(&self, moment: Instant) {
        let mut valid_from = self.0.valid_from.lock();
        *valid_from = moment.max(*valid_from);
    }

    /// Makes a connection now, whatever there is already.
    pub(super) async fn dial(&self) -> RedisResult<Pooled> {
        let made = Instant::now();
        let dialled = timeout(PATIENCE, self.0.dialer.dial()).await;
        let connection = dialled.unwrap_or_else(|_| Err(silent()))?;
        Ok(Pooled { connection, made })
    }

    /// Keeps a connection for the next caller who needs one.
    pub(super) fn spare(&self, pooled: Pooled) {
        let mut spares = self.0.spares.lock();
        if spares.len() < self.0.spares_max {
            spares.push(pooled);
        }
    }

    fn take_spare(&self) -> Option<Pooled> {
        let mut spares = self.0.spares.lock();
        spares.retain(|spare| self.is_valid(spare));
        spares.pop()
    }

    fn is_valid(&self, pooled: &Pooled) -> bool {
        pooled.made >= *self.0.valid_from.lock()
    }

    /// One connection that turns out dead condemns those that are as old: finding out one by one would take
    /// each caller a timeout.
    async fn revive(&self, connection: &mut Connection) -> Result<(), RedisError> {
        let Connection::Server(server) = connection else { return Ok(()) };
        let (begun, ping) = (Instant::now(), ::redis::cmd("PING"));
        let alive = timeout(self.0.response_timeout, ping.exec_async(server)).await;
        alive.unwrap_or_else(|_| Err(silent())).inspect_err(|_| self.outdate(begun))
    }
}

impl Manager for Source {
    type Type = Pooled;
    type Error = RedisError;

    async fn create(&self) -> Result<Pooled, RedisError> {
        if let Some(spare) = self.take_spare() {
            return Ok(spare);
        }
        let (source, (made, awaited)) = (self.clone(), oneshot::channel());
        tokio::spawn(async move {
            if let Err(Ok(unwanted)) = made.send(source.dial().await) {
                source.spare(unwanted);
            }
        });
        awaited.await.unwrap_or_else(|_| Err(silent()))
    }

    async fn recycle(&self, pooled: &mut Pooled, metrics: &Metrics) -> RecycleResult<RedisError> {
        if !self.is_valid(pooled) {
            return Err(RecycleError::message("outdated"));
        }
        if metrics.last_used() < TRUSTED {
            return Ok(());
        }
        self.revive(&mut pooled.connection).await.map_err(RecycleError::Backend)
    }
}

/// Takes a connection out of its pool for good.
pub(super) fn discard(pooled: Object<Source>) {
    drop(Object::take(pooled));
}

fn silent() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
