use std::{sync::Arc, time::Duration};

use ::redis::{RedisError, RedisResult};
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::dialer::{Connection, Dialer};

/// A connection used this recently is taken to be alive without asking: if it is not, that shows at once.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long dialling may take at least, with or without a caller who waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) type Pool = deadpool::managed::Pool<Source>;

/// A connection and when it began to be made.
#[derive(Clone)]
pub(super) struct Pooled {
    pub(super) connection: Connection,
    made: Instant,
}

/// Makes connections, and tells old ones from good ones.
///
/// Making one is not given up when the caller gives up: it goes on by itself and the next caller has it. So a
/// handshake that takes longer than a caller may wait, as with a Cluster one of whose nodes is silent, costs a
/// few misses and not the store.
///
/// Connections to a server are used by one caller at a time. A Cluster is connected to once, because each of
/// its connections is a set of them, and finds its own way after changes.
#[derive(Clone)]
pub(super) struct Source(Arc<Inner>);

struct Inner {
    dialer: Dialer,
    patience: Duration,
    /// How long a connection may take to answer that it is alive.
    response_timeout: Duration,
    /// Connections made earlier are not used any more.
    valid_from: Mutex<Instant>,
    /// Connections to a server made for callers who did not wait.
    spares: Mutex<Vec<Pooled>>,
    spares_max: usize,
    /// The one connection to a Cluster, or the making of it, and when it began.
    common: Mutex<Option<(Instant, Common)>>,
}

type Common = Shared<BoxFuture<'static, RedisResult<Pooled>>>;

impl Source {
    pub(super) fn new(dialer: Dialer, connect: Duration, response: Duration, spares_max: usize) -> Self {
        Self(Arc::new(Inner {
            dialer,
            patience: PATIENCE.max(connect),
            response_timeout: response,
            valid_from: Mutex::new(Instant::now()),
            spares: Mutex::default(),
            spares_max,
            common: Mutex::default(),
        }))
    }

    /// Lets no connection made before `moment` be used again.
    pub(super) fn outdate(&self, moment: Instant) {
        let mut valid_from = self.0.valid_from.lock();
        *valid_from = moment.max(*valid_from);
    }

    /// Returns a connection whose making began no earlier than `since`.
    pub(super) async fn connect(&self, since: Instant) -> RedisResult<Pooled> {
        if self.0.dialer.is_for_cluster() { self.common(since).await } else { self.dial().await }
    }

    /// Keeps a connection for the next caller who needs one.
    pub(super) fn spare(&self, pooled: Pooled) {
        let mut spares = self.0.spares.lock();
        if spares.len() < self.0.spares_max && !self.0.dialer.is_for_cluster() {
            spares.push(pooled);
        }
    }

    /// Drops what is kept here.
    pub(super) fn forget(&self) {
        self.0.spares.lock().clear();
        self.0.common.lock().take_if(|(_, common)| common.peek().is_some());
    }

    async fn dial(&self) -> RedisResult<Pooled> {
        let made = Instant::now();
        let dialled = timeout(self.0.patience, self.0.dialer.dial()).await;
        let connection = dialled.unwrap_or_else(|_| Err(silent()))?;
        Ok(Pooled { connection, made })
    }

    /// Makes a connection to a Cluster, or joins those who are at it.
    fn common(&self, since: Instant) -> Common {
        let mut common = self.0.common.lock();
        if let Some((begun, current)) = &*common
            && *begun >= since
            && !matches!(current.peek(), Some(Err(_)))
        {
            return current.clone();
        }
        let (source, begun) = (self.clone(), Instant::now());
        let dialling = tokio::spawn(async move { source.dial().await });
        let made = dialling.map(|dialled| dialled.unwrap_or_else(|_| Err(silent()))).boxed().shared();
        *common = Some((begun, made.clone()));
        made
    }

    /// Makes a connection to a server for the caller, or for the next one if this one does not wait.
    async fn own(&self) -> RedisResult<Pooled> {
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
        let valid_from = *self.0.valid_from.lock();
        if self.0.dialer.is_for_cluster() { self.common(valid_from).await } else { self.own().await }
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

fn silent() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
