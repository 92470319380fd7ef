use std::time::SystemTime;

use crate::{EpochLog, Epochs, Tag};

/// Checks what every [`EpochLog`] promises.
///
/// Nobody else may clear in the log meanwhile. Tags are chosen afresh in each run and stay in the log.
///
/// # Panics
/// If the log breaks a promise or is unavailable.
pub async fn epoch_log_contract(log: &dyn EpochLog) {
    let begun = unchanged_log_is_not_read_again(log).await;
    let [first, second, never] = ["first", "second", "never"].map(fresh_tag);
    let cleared = tags_are_cleared_in_one_new_epoch(log, &begun, &[first, second, first]).await;
    later_clearing_moves_its_tag_alone(log, &cleared, first).await;
    let last = old_news_are_told_whole(log, &begun).await;
    assert!(!last.cleared.contains_key(&never), "tag was cleared by nobody");
}

fn fresh_tag(name: &str) -> Tag {
    Tag::new("epoch log contract", &format!("{name} {} {:?}", std::process::id(), SystemTime::now()))
}

async fn read(log: &dyn EpochLog, known: Option<(u64, u64)>) -> Option<Epochs> {
    log.read(known).await.expect("log is available")
}

async fn whole(log: &dyn EpochLog) -> Epochs {
    read(log, None).await.expect("log is told to those who know nothing")
}

async fn clear(log: &dyn EpochLog, tags: &[Tag]) {
    log.clear(tags).await.expect("log is available");
}

async fn unchanged_log_is_not_read_again(log: &dyn EpochLog) -> Epochs {
    let begun = whole(log).await;
    assert_eq!(whole(log).await, begun, "log changed by being read");
    assert_eq!(read(log, Some((begun.era, begun.now))).await, None, "log is where it was");
    begun
}

async fn tags_are_cleared_in_one_new_epoch(log: &dyn EpochLog, before: &Epochs, tags: &[Tag]) -> Epochs {
    clear(log, tags).await;
    let after = read(log, Some((before.era, before.now))).await.expect("log has changed");
    assert_eq!((after.era, after.now), (before.era, before.now + 1));
    for tag in tags {
        assert_eq!(after.cleared.get(tag), Some(&after.now), "{tag:?} was cleared");
    }
    let others = after.cleared.iter().filter(|(tag, _)| !tags.contains(tag));
    assert!(others.clone().all(|(tag, epoch)| before.cleared.get(tag) == Some(epoch)), "another was cleared");
    after
}

async fn later_clearing_moves_its_tag_alone(log: &dyn EpochLog, before: &Epochs, tag: Tag) {
    let after = tags_are_cleared_in_one_new_epoch(log, before, &[tag]).await;
    assert!(after.cleared[&tag] > before.cleared[&tag], "{tag:?} was cleared again");
    assert_eq!(after.cleared.len(), before.cleared.len(), "a tag was forgotten");
}

/// What is known may be of long ago or of another era.
async fn old_news_are_told_whole(log: &dyn EpochLog, old: &Epochs) -> Epochs {
    let now = whole(log).await;
    for known in [(old.era, old.now), (!now.era, now.now)] {
        assert_eq!(read(log, Some(known)).await.as_ref(), Some(&now), "{known:?} is out of date");
    }
    now
}
