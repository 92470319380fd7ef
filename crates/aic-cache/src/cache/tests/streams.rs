//! Answers that are read while they are being made.
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::*;
use crate::Tee;

type Pieces = Cache<String, char>;

fn pieces() -> Pieces {
    Cache::builder(MemoryStore::new(1 << 20)).streamed().build()
}

async fn begin(cache: &Pieces) -> Begin<String, char> {
    cache.begin(&KEY, &control()).await
}

async fn streaming_leader(cache: &Pieces) -> LeadGuard<String, char> {
    match begin(cache).await {
        Begin::Lead(guard) => guard,
        other => panic!("not the leader: {other:?}"),
    }
}

async fn follower(cache: &Pieces) -> Tee<char> {
    match begin(cache).await {
        Begin::Follow(tee) => tee,
        other => panic!("not a follower: {other:?}"),
    }
}

/// Shares what is fed by hand, and finishes when the feed ends.
fn share(guard: LeadGuard<String, char>) -> (mpsc::UnboundedSender<char>, Tee<char>) {
    let (feed, fed) = mpsc::unbounded_channel();
    let start = |guard| (fed, String::new(), Some(guard));
    let tee = guard.share(|guard| {
        stream::unfold(start(guard), |(mut fed, mut text, mut guard)| async move {
            match fed.recv().await {
                Some(piece) => {
                    text.push(piece);
                    Some((piece, (fed, text, guard)))
                }
                None => {
                    let guard: LeadGuard<String, char> = guard.take()?;
                    guard.finish(&text).await.unwrap();
                    None
                }
            }
        })
    });
    (feed, tee)
}

#[tokio::test]
async fn caller_that_comes_in_the_middle_reads_along_and_the_whole_is_stored() {
    let cache = pieces();
    let (feed, mut first) = share(streaming_leader(&cache).await);
    feed.send('h').unwrap();
    assert_eq!(first.next().await, Some('h'));

    let second = follower(&cache).await;
    feed.send('i').unwrap();
    drop(feed);

    assert_eq!(second.collect::<String>().await, "hi");
    assert_eq!(first.collect::<String>().await, "i");
    let Begin::Hit(hit) = begin(&cache).await else { panic!("not stored") };
    assert_eq!(hit.value, "hi");
    assert_eq!((cache.stats().followed, cache.stats().stores), (1, 1));
}

#[tokio::test]
async fn caller_that_waited_in_line_reads_the_stream_from_its_start() {
    let cache = pieces();
    let guard = streaming_leader(&cache).await;
    let mut waiting = Box::pin(begin(&cache));
    assert!(poll!(&mut waiting).is_pending());

    let (feed, leader) = share(guard);
    feed.send('x').unwrap();
    drop(feed);

    let Begin::Follow(tee) = waiting.await else { panic!("not a follower") };
    drop(leader);
    assert_eq!(tee.collect::<String>().await, "x");
}

#[tokio::test]
async fn leader_that_leaves_in_the_middle_does_not_end_the_stream_for_its_followers() {
    let cache = pieces();
    let (feed, first) = share(streaming_leader(&cache).await);
    let second = follower(&cache).await;
    feed.send('a').unwrap();

    drop(first);
    feed.send('b').unwrap();
    drop(feed);

    assert_eq!(second.collect::<String>().await, "ab");
    assert!(cache.get(&KEY).await.is_some());
}

#[tokio::test]
async fn leader_that_never_reads_holds_up_nobody() {
    let cache = pieces();
    let (feed, _idle) = share(streaming_leader(&cache).await);
    let reader = follower(&cache).await;
    "hello".chars().for_each(|piece| feed.send(piece).unwrap());
    drop(feed);

    assert_eq!(reader.collect::<String>().await, "hello");
    assert!(cache.get(&KEY).await.is_some());
}

#[tokio::test]
async fn stream_that_everybody_left_is_given_up_and_the_next_caller_leads() {
    let cache = pieces();
    let (feed, first) = share(streaming_leader(&cache).await);
    let second = follower(&cache).await;

    drop((first, second));

    assert!(feed.is_closed());
    drop(streaming_leader(&cache).await);
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn whole_answer_is_awaited_by_a_caller_that_wants_no_pieces() {
    let cache = pieces();
    let (feed, leader) = share(streaming_leader(&cache).await);
    let never = || async { panic!("computed twice") };
    let (call, reading) = (control(), tokio::spawn(leader.collect::<String>()));
    let mut whole =
        Box::pin(cache.get_or_try_compute::<Infallible, _, std::future::Ready<_>>(&KEY, &call, || {
            std::future::ready(futures_util::FutureExt::now_or_never(never()).unwrap())
        }));
    assert!(poll!(&mut whole).is_pending());

    feed.send('!').unwrap();
    drop(feed);

    assert_eq!(whole.await.unwrap().into_value(), "!");
    assert_eq!(reading.await.unwrap(), "!");
}

/// A store whose puts fail.
#[derive(Debug)]
struct ReadOnly(MemoryStore);

#[async_trait]
impl Store for ReadOnly {
    async fn get(&self, key: &Fingerprint) -> Result<Option<crate::Found>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        BrokenStore.put(key, bytes, options).await
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.0.remove(key).await
    }

    fn shared(&self) -> crate::Shared {
        self.0.shared()
    }

    fn tiers(&self) -> Vec<crate::TierStats> {
        self.0.tiers()
    }
}

#[tokio::test]
async fn followers_have_their_answer_even_if_it_cannot_be_stored() {
    let cache: Pieces = Cache::builder(ReadOnly(MemoryStore::new(1 << 20))).streamed().build();
    let (feed, leader) = share(streaming_leader(&cache).await);
    let second = follower(&cache).await;
    feed.send('x').unwrap();
    drop(feed);

    assert_eq!(
        (leader.collect::<String>().await, second.collect::<String>().await),
        ("x".into(), "x".into())
    );
    assert_eq!(cache.stats().not_stored.unavailable, 1);
}
