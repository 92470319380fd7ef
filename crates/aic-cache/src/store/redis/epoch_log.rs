use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use ::redis::Pipeline;
use async_trait::async_trait;

use super::{RedisStore, scripts::Script};
use crate::{EpochLog, Epochs, Result, Tag};

/// What both scripts begin with. The log is one hash: `era` in hexadecimal, `now` and `floor` in decimal digits,
/// and for each cleared tag its hash in hexadecimal and its epoch.
///
/// Numbers in Lua are doubles, so what has more than 15 digits is not taken for an epoch.
const LOG: &str = r"
    local log = KEYS[1]
    local function epoch(text)
        return text and #text <= 15 and text:find('^%d+$') and tonumber(text)
    end
    local function head()
        local fields = redis.call('HMGET', log, 'era', 'now', 'floor')
        local era, now, floor = fields[1], epoch(fields[2]), epoch(fields[3])
        if era and #era == 16 and era:find('^[0-9a-f]+$') and now and floor then return era, now, floor end
    end
    local function begin(era)
        redis.call('UNLINK', log)
        redis.call('HSET', log, 'era', era, 'now', 0, 'floor', 0)
    end
";

/// `KEYS`: log. `ARGV`: an era to begin, the known era, the known epoch, whether to begin in any case. Answers
/// whether the log stands elsewhere than is known.
///
/// Begins an era if there is none; if the log is larger than clearing ever leaves it; and if it stands at an
/// earlier epoch than the known one, as after a failover to a replica that had not heard of the last
/// clearings: nobody can tell any more what they cleared.
static REFRESH: LazyLock<Script> = LazyLock::new(|| {
    let code = r"
    local era, now = head()
    local known = era == ARGV[2] and tonumber(ARGV[3])
    if not era or (known and now < known) or redis.call('HLEN', log) > 10003 or ARGV[4] == '1' then
        begin(ARGV[1])
        return 1
    end
    return known and now == known and 0 or 1
    ";
    Script::new(LOG.to_owned() + code)
});

/// `KEYS`: log. `ARGV`: an era to begin if there is none, the tags to clear.
///
/// Past 10,000 tags the older half is forgotten, and with it all that was cleared in the same epoch: everything
/// begun before the latest clearing so forgotten counts as cleared.
static CLEAR: LazyLock<Script> = LazyLock::new(|| {
    let code = r"
    local _, _, floor = head()
    if not floor then
        begin(ARGV[1])
        floor = 0
    end
    local now = redis.call('HINCRBY', log, 'now', 1)
    for i = 2, #ARGV do redis.call('HSET', log, ARGV[i], now) end
    if redis.call('HLEN', log) <= 10003 then return end

    local fields, epochs, old = redis.call('HGETALL', log), {}, {}
    for i = 1, #fields, 2 do
        if #fields[i] == 16 then epochs[#epochs + 1] = tonumber(fields[i + 1]) or 0 end
    end
    table.sort(epochs)
    floor = math.max(floor, epochs[math.ceil(#epochs / 2)])
    for i = 1, #fields, 2 do
        if #fields[i] == 16 and (tonumber(fields[i + 1]) or 0) <= floor then old[#old + 1] = fields[i] end
    end
    for i = 1, #old, 1000 do redis.call('HDEL', log, unpack(old, i, math.min(i + 999, #old))) end
    redis.call('HSET', log, 'floor', floor)
    ";
    Script::new(LOG.to_owned() + code)
});

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

impl RedisStore {
    fn log(&self) -> [String; 1] {
        [format!("{}epochs", self.0.prefix)]
    }

    /// The log, unless it stands at `known`; a new one in any case if it is to begin `anew`.
    async fn fields(&self, known: Option<(u64, u64)>, anew: bool) -> Result<Option<Fields>> {
        let (era, now) = known.map_or(Default::default(), |(era, now)| (hex(era), now));
        if !self.run(&REFRESH, &self.log(), (new_era(), era, now, u8::from(anew))).await? {
            return Ok(None);
        }
        let (fields,) = self.ask(Pipeline::new().cmd("HGETALL").arg(&self.log())).await?;
        Ok(Some(fields))
    }
}

/// The log has no time to live, so it is not evicted under the `volatile-*` policies. Under the `allkeys-*`
/// policies it may be, and a server without persistence forgets it: a new era begins then, which costs all
/// entries and shows none that was cleared.
///
/// A failover that loses clearings is noticed by whoever knew of them and looks before as many new ones were made:
/// nobody can tell what else was lost, so a new era begins. One that nobody had read of is lost in silence, as
/// every write may be that a replica had not heard of.
///
/// Past 10,000 tags the log forgets the older half, which takes the server some 20 ms. A clearing that meets its
/// deadline meanwhile is an error though it is carried out; to clear twice does no harm.
#[async_trait]
impl EpochLog for RedisStore {
    async fn read(&self, known: Option<(u64, u64)>) -> Result<Option<Epochs>> {
        let Some(fields) = self.fields(known, false).await? else { return Ok(None) };
        if let Some(epochs) = parse(&fields) {
            return Ok(Some(epochs));
        }
        let fields = self.fields(None, true).await?;
        let epochs = fields.and_then(|fields| parse(&fields));
        epochs.map(Some).ok_or_else(|| self.unavailable(Damaged))
    }

    async fn clear(&self, tags: &[Tag]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let tags: Vec<_> = tags.iter().map(|tag| hex(tag.to_bits())).collect();
        self.run(&CLEAR, &self.log(), (new_era(), tags)).await
    }
}

/// Random, because the standard library seeds its hash maps from the operating system.
fn new_era() -> String {
    hex(RandomState::new().hash_one(()))
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// The log in `fields`, or `None` if this crate cannot have written them.
fn parse(fields: &Fields) -> Option<Epochs> {
    let mut log = Epochs::default();
    for (name, value) in fields {
        match &name[..] {
            b"era" => log.era = parse_hex(value)?,
            b"now" => log.now = parse_epoch(value)?,
            b"floor" => log.floor = parse_epoch(value)?,
            tag => _ = log.cleared.insert(Tag::from_bits(parse_hex(tag)?), parse_epoch(value)?),
        }
    }
    let whole = fields.len() == log.cleared.len() + 3;
    let sound = log.cleared.values().chain([&log.floor]).all(|epoch| *epoch <= log.now);
    (whole && sound).then_some(log)
}

fn parse_hex(digits: &[u8]) -> Option<u64> {
    let well_formed =
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then(|| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())?
}

fn parse_epoch(digits: &[u8]) -> Option<u64> {
    let well_formed = digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    well_formed.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

#[derive(Debug, thiserror::Error)]
#[error("somebody else writes to the hash that holds the log of cleared tags")]
struct Damaged;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Fields {
        fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn log_is_read_as_it_is_written() {
        let read = parse(&fields(&[
            ("era", "00000000000000ff"),
            ("now", "12"),
            ("floor", "3"),
            ("ffffffffffffffff", "12"),
        ]));

        let cleared = [(Tag::from_bits(u64::MAX), 12)].into();
        assert_eq!(read, Some(Epochs { era: 255, now: 12, floor: 3, cleared }));
    }

    #[test]
    fn log_of_which_a_part_is_missing_is_none() {
        let head = [("era", "00000000000000ff"), ("now", "12"), ("floor", "3")];

        assert!(parse(&fields(&head)).is_some());
        assert!((0..3).all(|kept| parse(&fields(&head[..kept])).is_none()));
    }

    #[test]
    fn fields_this_crate_never_writes_are_no_log() {
        let tag = "0123456789abcdef";
        for (name, value) in [
            ("era", "255"),
            ("now", "-1"),
            ("now", "1234567890123456"),
            ("floor", ""),
            ("floor", "13"),
            (tag, "13"),
            (tag, "1.5"),
            ("0123456789ABCDEF", "1"),
            ("+123456789abcdef", "1"),
            ("note", "1"),
        ] {
            let mut log = vec![("era", "00000000000000ff"), ("now", "12"), ("floor", "3")];
            log.retain(|(head, _)| *head != name);
            log.push((name, value));

            let read = parse(&fields(&log));

            assert_eq!(read, None, "{name} = {value}");
        }
    }

    proptest! {
        #[test]
        fn foreign_fields_never_panic(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            parse(&fields);
        }
    }
}
