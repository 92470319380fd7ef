use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::{
    file::{FACTS, ORDER, RECORDS, fact},
    queue::{Batch, Dead, Op},
    record::{Record, birth, weight},
    used::Used,
    wall::Life,
};
use crate::{Epochs, Fingerprint};

/// Without anybody in the order the file should be empty.
pub(super) const SUMS: &str = "what its entries take does not add up";

/// What a write did beside what it was asked.
#[derive(Debug)]
pub(super) struct Written {
    /// Entries dropped to make room.
    pub(super) evicted: u64,
    /// The log of cleared tags, if it changed.
    pub(super) epochs: Option<Epochs>,
}

/// The records in one transaction, in the order in which they make room, with the sum of what they take.
///
/// The order is that of arrival, and who was used since its last turn goes to the end instead of out: second
/// chance, that is CLOCK ([Corbató 1968](https://people.csail.mit.edu/saltzer/Multics/MHP-Saltzer-060508/bookcases/M00s/M0104%20074-12%29.PDF)),
/// which needs no write when an entry is found. A record that goes to the end keeps its birth, so that its
/// bytes need not be written again; a place in the order whose birth is not that of the record under its key
/// is left from one that was replaced, and counts for nothing.
pub(super) struct Ledger<'t> {
    facts: Table<'t, &'static str, u64>,
    records: Table<'t, [u8; 32], &'static [u8]>,
    order: Table<'t, u64, ([u8; 32], u64, u64)>,
    used: &'t Used,
    weight: u64,
    /// The next free place in the order, and the next birth.
    next: u64,
}

impl<'t> Ledger<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, used: &'t Used) -> Result<Self, redb::Error> {
        let facts = transaction.open_table(FACTS)?;
        let (weight, next) = (fact(&facts, "weight")?, fact(&facts, "next")?);
        let (records, order) = (transaction.open_table(RECORDS)?, transaction.open_table(ORDER)?);
        Ok(Self { facts, records, order, used, weight, next })
    }

    /// Writes the sums down. Returns the number of entries and what they take.
    pub(super) fn close(mut self) -> Result<(u64, u64), redb::Error> {
        self.facts.insert("weight", self.weight)?;
        self.facts.insert("next", self.next)?;
        Ok((self.records.len()?, self.weight))
    }

    pub(super) fn apply(&mut self, batch: &Batch, now_ms: u64) -> Result<(), redb::Error> {
        for dead in &batch.dead {
            self.bury(dead)?;
        }
        let arrivals = || batch.ops.values().map(|(arrival, _)| *arrival);
        let (first, last) = (arrivals().min().unwrap_or(0), arrivals().max().unwrap_or(0));
        // By key, so that each page is met once; in the order they have the places of their arrival.
        let mut ops: Vec<_> = batch.ops.iter().collect();
        ops.sort_unstable_by_key(|(key, _)| *key.as_bytes());
        for (key, (arrival, op)) in ops {
            match op {
                Op::Put { bytes, life } if life.ends_ms > now_ms => {
                    self.put(key, self.next.saturating_add(arrival - first), *life, bytes)?;
                }
                _ => self.remove(key)?,
            }
        }
        self.next = self.next.saturating_add(last - first + 1);
        Ok(())
    }

    /// Drops entries until a twentieth of `capacity` is free, if they take more than that. Returns how many
    /// lived yet.
    pub(super) fn make_room(&mut self, capacity: u64, now_ms: u64) -> Result<u64, redb::Error> {
        let mut evicted = 0;
        if self.weight <= capacity {
            return Ok(0);
        }
        let mut chances = self.order.len()?;
        while self.weight > capacity - capacity / 20 {
            let (key, birth, ends_ms) = self.first()?;
            let is_over = ends_ms <= now_ms;
            if !self.holds(&key, birth)? {
                continue;
            }
            if self.used.take(&key) && !is_over && chances > 0 {
                chances -= 1;
                self.line_up(&key, birth, ends_ms)?;
                continue;
            }
            self.remove(&key)?;
            evicted += u64::from(!is_over);
        }
        Ok(evicted)
    }

    fn put(&mut self, key: &Fingerprint, birth: u64, life: Life, bytes: &[u8]) -> Result<(), redb::Error> {
        self.remove(key)?;
        self.order.insert(birth, (*key.as_bytes(), birth, life.ends_ms))?;
        let record = Record::encode(key, birth, life, bytes);
        self.records.insert(key.as_bytes(), &*record)?;
        self.weight = self.weight.saturating_add(weight(record.len()));
        Ok(())
    }

    fn remove(&mut self, key: &Fingerprint) -> Result<(), redb::Error> {
        let removed = self.records.remove(key.as_bytes())?;
        let removed = removed.map(|record| (birth(record.value()), record.value().len()));
        if let Some((birth, bytes)) = removed {
            self.weight = self.weight.saturating_sub(weight(bytes));
            self.used.take(key);
            self.leave(birth, key)?; // Unless it has moved; then its place is found to be empty later.
        }
        Ok(())
    }

    fn bury(&mut self, dead: &Dead) -> Result<(), redb::Error> {
        if self.holds(&dead.key, dead.birth)? {
            self.remove(&dead.key)?;
        }
        self.leave(dead.place, &dead.key)
    }

    /// Gives up `place` if it is that of `key`. A damaged record may name another's.
    fn leave(&mut self, place: u64, key: &Fingerprint) -> Result<(), redb::Error> {
        if self.order.get(place)?.is_some_and(|turn| turn.value().0 == *key.as_bytes()) {
            self.order.remove(place)?;
        }
        Ok(())
    }

    /// Whether the record under `key` is the one born as `birth`.
    fn holds(&self, key: &Fingerprint, born: u64) -> Result<bool, redb::Error> {
        Ok(self.records.get(key.as_bytes())?.is_some_and(|record| birth(record.value()) == born))
    }

    /// Takes the first out of the order.
    fn first(&mut self) -> Result<(Fingerprint, u64, u64), redb::Error> {
        let first = self.order.pop_first()?.map(|(_, turn)| turn.value());
        let (key, birth, ends_ms) = first.ok_or_else(|| redb::Error::Corrupted(SUMS.to_owned()))?;
        Ok((Fingerprint::from_bytes(key), birth, ends_ms))
    }

    /// Puts the record of `key` at the end of the order.
    fn line_up(&mut self, key: &Fingerprint, birth: u64, ends_ms: u64) -> Result<(), redb::Error> {
        self.order.insert(self.next, (*key.as_bytes(), birth, ends_ms))?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }
}
