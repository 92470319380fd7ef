use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{runtime::Handle, time::sleep};

use super::{RedisStore, call::LeftAlone, scripts::Script, ttl_ms};
use crate::{Error, Fence, Fingerprint, Leases, Put, Result, store::size};

/// `KEYS`: lease, fence, attempt. `ARGV`: time to live in ms, a number of this attempt's own. Answers with the fence of the new
/// lease, if it is free or this attempt has it already.
///
/// Two keys make a lease: one that ends with it and one that remembers its fence for an hour longer. Fences are
/// microseconds of the server's clock, or one more than the last if that is later. So they grow even where the
/// second key is gone before its time (evicted, or lost in a failover), unless the clock was set back by more
/// than has passed since the last lease. Both keys must be lost and the clock wrong before a late answer may
/// take the place of a newer one.
///
/// It writes first: a server that takes no writes must say so, and not that somebody holds the lease.
///
/// Numbers in Lua are doubles, exact below 2⁵³ (the year 2255 in µs). What is no such number is not ours and is
/// written over, and so is a lease without an end: ours have one. `MGET` reads a value of another type as none.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[3]) == 1 then return nil end
        local held, last = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
        local free = redis.call('SET', KEYS[1], '', 'PX', ARGV[1], 'NX')
        if not free and redis.call('PTTL', KEYS[1]) >= 0 then
            local fence, attempt = (held or ''):match('^(%d+):(%d+)$')
            return attempt == ARGV[2] and tonumber(fence) or nil
        end
        local time = redis.call('TIME')
        local fence = time[1] * 1000000 + time[2]
        if last and last:find('^%d+$') and tonumber(last) < 9007199254740991 then
            fence = math.max(fence, last + 1)
        end
        local text = string.format('%.0f', fence)
        redis.call('SET', KEYS[2], text, 'PX', ARGV[1] + 3600000)
        redis.call('SET', KEYS[1], text .. ':' .. ARGV[2], 'PX', ARGV[1])
        return fence
        ",
    )
});

/// `KEYS`: lease, attempt. `ARGV`: the number of an attempt, which gives back what it may have got unheard. The second
/// key stays for a minute, so that an attempt that is carried out later gets nothing.
static ABANDON: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('MGET', KEYS[1])[1]
        if held and held:match(':(%d+)$') == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
        redis.call('SET', KEYS[2], '', 'PX', 60000)
        ",
    )
});

/// `KEYS`: lease, fence. `ARGV`: fence, time to live in ms. Answers whether the lease is ours.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('MGET', KEYS[1])[1]
        if not held or held:match('^%d+') ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2] + 3600000)
        return redis.call('PEXPIRE', KEYS[1], ARGV[2])
        ",
    )
});

/// `KEYS`: lease. `ARGV`: fence.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('MGET', KEYS[1])[1]
        if held and held:match('^%d+') == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
        ",
    )
});

/// `KEYS`: entry, lease, fence. `ARGV`: fence, time to live in ms or nothing, bytes unless the entry is to be
/// removed. Answers whether no later lease has been given.
///
/// Where the fence key is gone, a lease of the last hour is believed: had a later one been given, the key would
/// be there, unless it was evicted. An older lease is not, as the key may be gone because its time was over.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('MGET', KEYS[2], KEYS[3])
        local last = tonumber(held[2])
        local hour_ago = (redis.call('TIME')[1] - 3600) * 1000000
        if (last or hour_ago) > tonumber(ARGV[1]) then return 0 end
        if not ARGV[3] then
            redis.call('UNLINK', KEYS[1])
        elseif ARGV[2] == '' then
            redis.call('SET', KEYS[1], ARGV[3])
        else
            redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
        end
        if held[1] and held[1]:match('^%d+') == ARGV[1] then redis.call('UNLINK', KEYS[2]) end
        return 1
        ",
    )
});

impl RedisStore {
    /// Puts `bytes` unless a later lease than `fence` has been given, and gives the lease back.
    pub(super) async fn put_under(
        &self,
        fence: Fence,
        key: &Fingerprint,
        bytes: &Bytes,
        ttl: Option<Duration>,
    ) -> Result<Put> {
        let (bytes_len, limit) = (size(bytes), self.0.entry_bytes_max);
        let kept = (bytes_len <= limit).then_some(&bytes[..]);
        let ttl = ttl.map(|ttl| ttl_ms(ttl).to_string()).unwrap_or_default();
        let keys = [self.name(key), self.lease(key), self.fence(key)];
        let stands: bool = self.run(&PUT, &keys, (fence.0, ttl, kept)).await?;
        Ok(match kept {
            _ if !stands => Put::Superseded,
            None => Put::TooLarge { bytes: bytes_len, limit },
            Some(_) => Put::Stored { bytes: bytes_len },
        })
    }

    fn lease(&self, key: &Fingerprint) -> String {
        self.name(key) + ":lease"
    }

    fn fence(&self, key: &Fingerprint) -> String {
        self.name(key) + ":fence"
    }
}

/// An attempt to take a lease. Unless its answer was heard, the lease it may have got is given back: a server that was
/// slow, or stopped for a while, carries out what nobody waits for any more.
struct Attempt {
    store: RedisStore,
    /// Its lease, and its own.
    keys: [String; 2],
    number: u64,
    is_heard: bool,
}

impl Attempt {
    fn new(store: &RedisStore, key: &Fingerprint) -> Self {
        let number = RandomState::new().hash_one(()) >> 1; // Lua's patterns know no sign, Redis no 64th bit.
        let keys = [store.lease(key), format!("{}:attempt:{number}", store.name(key))];
        Self { store: store.clone(), keys, number, is_heard: false }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (false, Ok(runtime)) = (self.is_heard, Handle::try_current()) else { return };
        let (store, keys, number) = (self.store.clone(), std::mem::take(&mut self.keys), self.number);
        runtime.spawn(async move {
            for _ in 0..ABANDON_TRIES {
                if store.run::<()>(&ABANDON, &keys, number).await.is_ok() {
                    return;
                }
                sleep(ABANDON_EVERY).await;
            }
        });
    }
}

/// How often an unheard lease is given back while the server is away, until it will have ended by itself.
const ABANDON_EVERY: Duration = Duration::from_millis(100);
const ABANDON_TRIES: usize = 20;

/// Whether the server may have done what it was asked, though it did not say so.
fn may_have_been_carried_out(error: &Error) -> bool {
    !matches!(error, Error::Unavailable { source, .. } if source.is::<LeftAlone>())
}

/// Every step is a script, so the server must be Redis 5 or newer (or Valkey) and let its user run scripts; where
/// it does not, nobody can tell who holds a lease. A lease that was lost in a failover is given again at once:
/// then two compute, and the answer of the later one stays.
#[async_trait]
impl Leases for RedisStore {
    async fn acquire(&self, key: &Fingerprint, ttl: Duration) -> Result<Option<Fence>> {
        let mut attempt = Attempt::new(self, key);
        let [lease, own] = attempt.keys.clone();
        let keys = [lease, self.fence(key), own];
        let fence: Result<Option<u64>> = self.run(&ACQUIRE, &keys, (ttl_ms(ttl), attempt.number)).await;
        attempt.is_heard = !fence.as_ref().is_err_and(may_have_been_carried_out);
        Ok(fence?.map(Fence))
    }

    async fn renew(&self, key: &Fingerprint, fence: Fence, ttl: Duration) -> Result<bool> {
        self.run(&RENEW, &[self.lease(key), self.fence(key)], (fence.0, ttl_ms(ttl))).await
    }

    async fn release(&self, key: &Fingerprint, fence: Fence) -> Result<()> {
        self.run(&RELEASE, &[self.lease(key)], fence.0).await
    }
}
