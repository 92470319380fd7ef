//! The log of cleared tags as it is kept in the file.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::file::{CLEARINGS, FACTS, fact};
use crate::{Epochs, Tag};

/// Tags whose clearing is noted; when there are more, the older half is forgotten.
const TAGS_MAX: usize = 10_000;

/// Begins an era.
pub(super) fn begin(facts: &mut Table<'_, &'static str, u64>) -> Result<(), redb::Error> {
    for (name, number) in [("era", random()), ("now", 0), ("floor", 0)] {
        facts.insert(name, number)?;
    }
    Ok(())
}

/// std seeds the hasher of its maps from the operating system.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

pub(super) fn read(transaction: &ReadTransaction) -> Result<Epochs, redb::Error> {
    of(&transaction.open_table(FACTS)?, &transaction.open_table(CLEARINGS)?)
}

fn of(
    facts: &impl ReadableTable<&'static str, u64>,
    clearings: &impl ReadableTable<u64, u64>,
) -> Result<Epochs, redb::Error> {
    let mut cleared = HashMap::new();
    for clearing in clearings.iter()? {
        let (tag, epoch) = clearing?;
        cleared.insert(Tag::from_bits(tag.value()), epoch.value());
    }
    let [era, now, floor] = ["era", "now", "floor"].map(|name| fact(facts, name));
    Ok(Epochs { era: era?, now: now?, floor: floor?, cleared })
}

/// Clears `tags` in a new epoch, if there are any. Returns the log if it changed.
pub(super) fn write(transaction: &WriteTransaction, tags: &[Tag]) -> Result<Option<Epochs>, redb::Error> {
    if tags.is_empty() {
        return Ok(None);
    }
    let (mut facts, mut clearings) = (transaction.open_table(FACTS)?, transaction.open_table(CLEARINGS)?);
    let mut epochs = of(&facts, &clearings)?;
    clear(&mut epochs, tags);
    for tag in tags {
        clearings.insert(tag.to_bits(), epochs.now)?;
    }
    clearings.retain(|_, epoch| epoch > epochs.floor)?;
    facts.insert("now", epochs.now)?;
    facts.insert("floor", epochs.floor)?;
    Ok(Some(epochs))
}

/// Notes one more clearing. What the log then forgets counts as cleared for everybody: too much, never too
/// little.
fn clear(epochs: &mut Epochs, tags: &[Tag]) {
    epochs.now = epochs.now.saturating_add(1);
    epochs.cleared.extend(tags.iter().map(|tag| (*tag, epochs.now)));
    if epochs.cleared.len() > TAGS_MAX {
        let mut noted: Vec<_> = epochs.cleared.values().copied().collect();
        noted.sort_unstable();
        epochs.floor = noted[noted.len() / 2];
        epochs.cleared.retain(|_, epoch| *epoch > epochs.floor);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether an entry begun in `epoch` with `tag` may be used, as a cache decides it.
    fn is_usable(epochs: &Epochs, epoch: u64, tag: Tag) -> bool {
        epochs.floor <= epoch && epochs.cleared.get(&tag).is_none_or(|cleared| *cleared <= epoch)
    }

    proptest! {
        #[test]
        fn no_entry_outlives_the_clearing_of_its_tag(
            sizes in prop::collection::vec(1u64..6000, 1..12), asked in 0usize..12, before in 0u64..12,
        ) {
            let (mut epochs, mut first) = (Epochs::new(1), 0);
            let mut cleared = Vec::new();
            for size in sizes {
                let tags: Vec<_> = (first..first + size).map(Tag::from_bits).collect();
                first += size / 2; // Half of them are cleared again.
                clear(&mut epochs, &tags);
                cleared.push((tags[0], epochs.now));
            }

            prop_assert!(epochs.cleared.len() <= TAGS_MAX);
            prop_assert!(epochs.cleared.values().all(|epoch| *epoch > epochs.floor));
            let (tag, now) = cleared[asked % cleared.len()];
            prop_assert!(before >= now || !is_usable(&epochs, before, tag));
        }
    }

    #[test]
    fn few_clearings_are_all_noted_and_touch_nothing_else() {
        let (mut epochs, [a, b]) = (Epochs::new(1), [1, 2].map(Tag::from_bits));

        clear(&mut epochs, &[a]);

        assert_eq!((epochs.now, epochs.floor), (1, 0));
        assert!(!is_usable(&epochs, 0, a) && is_usable(&epochs, 1, a) && is_usable(&epochs, 0, b));
    }

    #[test]
    fn eras_differ() {
        assert_ne!(random(), random());
    }
}
