//! A store on disk that is opened again, killed, damaged, shrunk and left without room.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use aic_cache::{
    DiskStore, Error, Fingerprint, MemoryStore, Put, PutOptions, Store, Tag, Tenant, TierStats, Tiered,
    testing::{ManualClock, store_contract},
};
use bytes::Bytes;
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn key(number: u64) -> Fingerprint {
    Fingerprint::of("disk test", &Tenant::default(), &number).expect("a number has a fingerprint")
}

/// Bytes that follow from `number` and `version`, some of them long.
fn value(number: u64, version: u64) -> Bytes {
    let length = 16 + (number * 2_654_435_761 + version) % 7 * 1000;
    let bytes = (0..length).map(|at| (number ^ (version << 3) ^ at).to_le_bytes()[0]);
    [&number.to_le_bytes(), &version.to_le_bytes()].into_iter().flatten().copied().chain(bytes).collect()
}

async fn put(store: &DiskStore, number: u64, version: u64) -> Put {
    store.put(&key(number), value(number, version), PutOptions::new()).await.unwrap()
}

async fn get(store: &DiskStore, number: u64) -> Option<Bytes> {
    store.get(&key(number)).await.unwrap().map(|found| found.bytes)
}

fn tier(store: &DiskStore) -> TierStats {
    store.tiers().remove(0)
}

fn file(folder: &Path) -> PathBuf {
    folder.join("cache.redb")
}

/// Names of files that were put aside.
fn put_aside(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("damaged")).count()
}

fn reason(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", reason(cause))).unwrap_or_default();
    format!("{error}{cause}")
}

/// A folder with a closed file of `count` entries, each with its number as version.
async fn folder_of(count: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    for number in 0..count {
        assert!(put(&store, number, number).await.is_stored());
    }
    folder
}

#[tokio::test]
async fn disk_store_keeps_the_contract() {
    let folder = TempDir::new().unwrap();

    store_contract(&DiskStore::open(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn memory_over_disk_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let disk = DiskStore::open(folder.path()).unwrap();

    store_contract(&Tiered::new(MemoryStore::new(1 << 20), disk)).await;
}

#[tokio::test]
async fn entries_and_their_times_live_through_a_restart() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
    let open = || DiskStore::builder(folder.path()).clock(clock.clone()).build().unwrap();
    let hour = PutOptions::new().ttl(Some(Duration::from_secs(3600)));
    let store = open();
    store.put(&key(1), value(1, 1), hour).await.unwrap();
    put(&store, 2, 2).await;
    drop(store);

    clock.advance(Duration::from_secs(1800));
    let store = open();
    let found = store.get(&key(1)).await.unwrap().unwrap();
    let bytes = tier(&store).bytes.unwrap();
    clock.advance(Duration::from_secs(1800));

    assert_eq!((found.bytes, found.ttl), (value(1, 1), Some(Duration::from_secs(1800))));
    assert_eq!((tier(&store).entries, bytes > 0), (Some(2), true));
    assert_eq!(get(&store, 1).await, None);
    store.flush().await.unwrap(); // What was met expired goes with the next write.
    assert_eq!(tier(&store).entries, Some(1));
    assert!(tier(&store).bytes.unwrap() < bytes);
    assert_eq!(get(&store, 2).await, Some(value(2, 2)));
}

#[derive(Clone, Debug)]
enum Step {
    Put { number: u64, version: u64 },
    Remove(u64),
    Flush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u64, 0..1000u64).prop_map(|(number, version)| Step::Put { number, version }),
        2 => (0..12u64).prop_map(Step::Remove),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

#[test]
fn store_that_is_opened_again_and_again_holds_what_a_map_would() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };

    let checked = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(follow(steps));
        Ok(())
    });

    checked.unwrap_or_else(|error| panic!("{error}"));
}

async fn follow(steps: Vec<Step>) {
    let (folder, mut model) = (TempDir::new().unwrap(), HashMap::new());
    let mut store = Some(DiskStore::open(folder.path()).unwrap());
    for step in steps {
        let open = store.as_ref().expect("it is opened again at once");
        match step {
            Step::Put { number, version } => {
                assert!(put(open, number, version).await.is_stored());
                model.insert(number, value(number, version));
            }
            Step::Remove(number) => {
                open.remove(&key(number)).await.unwrap();
                model.remove(&number);
            }
            Step::Flush => {
                open.flush().await.unwrap();
                assert_eq!(tier(open).entries, Some(model.len() as u64));
            }
            Step::Reopen => {
                drop(store.take());
                store = Some(DiskStore::open(folder.path()).unwrap());
            }
        }
        let open = store.as_ref().expect("it was opened");
        for number in 0..12 {
            assert_eq!(get(open, number).await.as_ref(), model.get(&number), "entry {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_find_what_they_put() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();

    let work = |task: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let number = task * 100 + round % 10;
                assert!(put(&store, number, round).await.is_stored());
                assert_eq!(get(&store, number).await, Some(value(number, round)));
                let other = get(&store, (task + 1) % 64 * 100 + round % 10).await;
                assert!(other.is_none_or(|bytes| bytes.len() > 16));
                if round % 13 == 0 {
                    store.flush().await.unwrap();
                }
            }
        })
    };
    for task in (0..64).map(work).collect::<Vec<_>>() {
        task.await.unwrap();
    }

    store.flush().await.unwrap();
    assert_eq!(tier(&store).entries, Some(640));
}

#[tokio::test]
async fn full_store_keeps_what_is_used_and_evicts_the_rest_until_a_twentieth_is_free() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::builder(folder.path()).capacity_bytes(4 * MIB).build().unwrap();
    let page = |number: u64| Bytes::from(vec![number.to_le_bytes()[0]; 3000]);
    let keep = async |number: u64| store.put(&key(number), page(number), PutOptions::new()).await.unwrap();
    for number in 0..600 {
        keep(number).await;
    }
    store.flush().await.unwrap();

    for round in 0..10 {
        for number in 0..50 {
            assert_eq!(get(&store, number).await, Some(page(number)), "in round {round}");
        }
        for number in 0..200 {
            keep(1000 + round * 200 + number).await;
        }
        store.flush().await.unwrap();
        assert!(tier(&store).bytes.unwrap() <= 4 * MIB, "{:?}", tier(&store));
    }

    let (entries, evictions) = (tier(&store).entries.unwrap(), tier(&store).evictions.unwrap());
    assert_eq!(entries + evictions, 2600);
    assert_eq!(get(&store, 60).await, None);
    assert_eq!(get(&store, 2999).await, Some(page(2999)));
}

#[tokio::test]
async fn folder_opened_with_less_capacity_gives_room_back() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    for number in 0..1500 {
        store.put(&key(number), vec![1; 6000].into(), PutOptions::new()).await.unwrap();
    }
    drop(store);
    let before = fs::metadata(file(folder.path())).unwrap().len();

    let store = DiskStore::builder(folder.path()).capacity_bytes(2 * MIB).build().unwrap();

    let stats = tier(&store);
    assert!(stats.bytes.unwrap() <= 2 * MIB && stats.entries.unwrap() > 100, "{stats:?}");
    assert_eq!(stats.entries.unwrap() + stats.evictions.unwrap(), 1500);
    let after = fs::metadata(file(folder.path())).unwrap().len();
    assert!(before > 12 * MIB && after < 6 * MIB, "{before} bytes became {after}");
    assert!(store.get(&key(1499)).await.unwrap().is_some(), "the newest stays");
}

#[tokio::test]
async fn entry_larger_than_the_store_takes_is_refused_and_replaces_what_was_there() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::builder(folder.path()).capacity_bytes(MIB).build().unwrap();
    put(&store, 1, 1).await;

    let put = store.put(&key(1), vec![0; 65_537].into(), PutOptions::new()).await.unwrap();

    assert_eq!(put, Put::TooLarge { bytes: 65_537, limit: 65_536 });
    assert_eq!(get(&store, 1).await, None);
}

#[tokio::test]
async fn cleared_tags_are_known_after_a_restart_and_a_lost_file_begins_a_new_era() {
    let folder = TempDir::new().unwrap();
    let log = |store: &DiskStore| store.shared().epochs.unwrap();
    let [a, b] = ["a", "b"].map(|name| Tag::new("document", name));
    let store = DiskStore::open(folder.path()).unwrap();
    let first = log(&store).read(None).await.unwrap().unwrap();

    log(&store).clear(&[a]).await.unwrap();
    log(&store).clear(&[a, b]).await.unwrap();
    drop(store);
    let store = DiskStore::open(folder.path()).unwrap();
    let second = log(&store).read(Some((first.era, first.now))).await.unwrap().unwrap();
    let again = log(&store).read(Some((second.era, second.now))).await.unwrap();
    drop(store);
    fs::remove_file(file(folder.path())).unwrap();
    let third = log(&DiskStore::open(folder.path()).unwrap()).read(None).await.unwrap().unwrap();

    assert_eq!((first.now, first.cleared.len()), (0, 0));
    assert_eq!((second.era, second.now, again), (first.era, 2, None));
    assert_eq!(second.cleared, HashMap::from([(a, 2), (b, 2)]));
    assert_ne!(third.era, first.era);
}

#[tokio::test]
async fn log_of_a_dropped_store_still_works_because_it_keeps_the_file_open() {
    let folder = TempDir::new().unwrap();
    let log = DiskStore::open(folder.path()).unwrap().shared().epochs.unwrap();

    log.clear(&[Tag::new("document", "a")]).await.unwrap();

    assert!(DiskStore::open(folder.path()).is_err());
    drop(log);
    assert!(DiskStore::open(folder.path()).is_ok());
}

#[tokio::test]
async fn second_store_in_the_same_folder_is_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let _first = DiskStore::open(folder.path()).unwrap();

    let error = DiskStore::open(folder.path()).unwrap_err();

    assert!(matches!(error, Error::Setup { .. }) && !error.is_retryable());
    assert!(reason(&error).contains("give each a folder of its own"), "{}", reason(&error));
}

#[tokio::test]
async fn folder_that_is_a_file_is_refused_and_a_missing_one_is_made() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "hello").unwrap();

    let error = DiskStore::open(folder.path().join("file")).unwrap_err();
    let made = DiskStore::open(folder.path().join("a/b/c"));

    assert!(reason(&error).contains("cannot be made, read or written: "), "{}", reason(&error));
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"hello");
    assert!(made.is_ok());
}

#[tokio::test]
async fn capacity_too_small_for_a_file_is_refused() {
    let folder = TempDir::new().unwrap();

    let error = DiskStore::builder(folder.path()).capacity_bytes(1000).build().unwrap_err();

    assert!(reason(&error).contains("1000 bytes is less than 1048576"), "{}", reason(&error));
}

#[tokio::test]
async fn flipped_bits_and_cut_files_open_or_are_put_aside_and_never_lie() {
    const COUNT: u64 = 300;
    let intact = folder_of(COUNT).await;
    let bytes = fs::read(file(intact.path())).unwrap();
    let mut random = proptest::test_runner::TestRng::deterministic_rng(Default::default());
    let (mut found, mut aside) = (0, 0);

    for round in 0..25 {
        let folder = TempDir::new().unwrap();
        fs::write(file(folder.path()), damaged(&bytes, round, &mut random)).unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        for number in 0..COUNT {
            match store.get(&key(number)).await {
                Ok(Some(entry)) => {
                    assert_eq!(entry.bytes, value(number, number), "entry {number} in round {round}");
                    found += 1;
                }
                Ok(None) => {}
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        until_available(&store).await;
        assert_eq!(get(&store, COUNT).await, Some(value(COUNT, 0)));
        drop(store);
        aside += put_aside(folder.path());
        assert_eq!(get(&DiskStore::open(folder.path()).unwrap(), COUNT).await, Some(value(COUNT, 0)));
    }

    assert!(found > 0 && aside > 0, "{found} entries survived, {aside} files were put aside");
}

/// `bytes` with a few bits flipped, most near the beginning in every third round; or cut short in every fifth.
fn damaged(bytes: &[u8], round: u64, random: &mut impl Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut below = |limit: usize| usize::try_from(random.next_u64()).unwrap() % limit;
    if round % 5 == 4 {
        bytes.truncate(below(bytes.len()));
        return bytes;
    }
    let reach = if round.is_multiple_of(3) { 4 * 4096 } else { bytes.len() };
    for _ in 0..1 + below(40) {
        bytes[below(reach)] ^= 1 << below(8);
    }
    bytes
}

/// Puts one more entry, as often as it takes.
async fn until_available(store: &DiskStore) {
    for _ in 0..100 {
        let put = store.put(&key(300), value(300, 0), PutOptions::new()).await;
        if put.is_ok() && store.flush().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{store:?} never came back");
}

/// This test binary once more, to run only the test `name`, in which `AIC_TEST_DISK_FOLDER` says that it is the
/// other process.
fn other_process(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env("AIC_TEST_DISK_FOLDER", folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn as_other_process() -> Option<PathBuf> {
    env::var_os("AIC_TEST_DISK_FOLDER").map(Into::into)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_process_leaves_a_file_that_opens_with_all_that_was_flushed() {
    if let Some(folder) = as_other_process() {
        return write_until_killed(&folder).await;
    }
    let (folder, mut flushed) = (TempDir::new().unwrap(), 0);
    let name = "disk::killed_process_leaves_a_file_that_opens_with_all_that_was_flushed";

    for round in 0..20u64 {
        let mut child = other_process(name, folder.path()).spawn().unwrap();
        flushed = kill_after(&mut child, 5 + round * 37 % 150).max(flushed);
        let store = DiskStore::open(folder.path()).unwrap();

        let log = store.shared().epochs.unwrap().read(None).await.unwrap().unwrap();
        for number in 0..100 {
            let Some(bytes) = get(&store, number).await else {
                assert_eq!(flushed, 0, "entry {number} was flushed before round {round}");
                continue;
            };
            let version = u64::from_le_bytes(*bytes[8..].first_chunk().unwrap());
            assert_eq!(bytes, value(number, version), "entry {number} in round {round}");
            assert!(
                version + 100 >= flushed + number,
                "entry {number} is of {version}, {flushed} were flushed"
            );
        }
        assert!(log.now >= flushed / 100, "{} of {flushed} clearings", log.now);
    }

    assert_eq!(put_aside(folder.path()), 0);
    assert!(flushed > 0, "no process lived long enough to flush");
}

/// Puts version n under key n mod 100, and says after each flush how many there are.
async fn write_until_killed(folder: &Path) {
    let store = DiskStore::open(folder).unwrap();
    let log = store.shared().epochs.unwrap();
    let begin = log.read(None).await.unwrap().unwrap().now * 100;
    for version in begin.. {
        let _ = store.put(&key(version % 100), value(version % 100, version), PutOptions::new()).await;
        if version % 100 == 99 {
            store.flush().await.unwrap();
            log.clear(&[Tag::from_bits(version % 7)]).await.unwrap();
            println!("\nflushed {}", version + 1);
            std::io::stdout().flush().unwrap();
        }
    }
}

/// Kills `child` some milliseconds after its first sign of life. Returns the last number it flushed.
fn kill_after(child: &mut Child, ms: u64) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let flushed = |line: &String| line.strip_prefix("flushed ").and_then(|number| number.parse().ok());
    let first = lines.find_map(|line| flushed(&line));
    std::thread::sleep(Duration::from_millis(ms));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.filter_map(|line| flushed(&line)).last().or(first).unwrap_or(0)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_puts_finds_what_is_there_and_recovers() {
    if let Some(folder) = as_other_process() {
        return fill_the_disk(&folder).await;
    }
    if Command::new("prlimit").arg("--version").output().is_err() {
        return println!("skipped: there is no `prlimit`, which sets a limit to the size of files");
    }
    let folder = TempDir::new().unwrap();
    let name = "disk::full_disk_refuses_puts_finds_what_is_there_and_recovers";
    let itself = other_process(name, folder.path());

    // Without the signal of a file that grows too large, the write fails with an error like that of a full disk.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -S -f 8192; exec "$0" "$@""#]).arg(itself.get_program());
    limited.args(itself.get_args()).env("AIC_TEST_DISK_FOLDER", folder.path());
    let output = limited.output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(put_aside(folder.path()), 0);
    assert_eq!(get(&DiskStore::open(folder.path()).unwrap(), 300).await, Some(value(300, 0)));
}

#[cfg(target_os = "linux")]
async fn fill_the_disk(folder: &Path) {
    let store = DiskStore::open(folder).unwrap();
    for number in 0..100 {
        put(&store, number, number).await;
    }
    store.flush().await.unwrap();

    let mut error = None;
    for number in 1000..6000 {
        let put = store.put(&key(number), vec![7; 7000].into(), PutOptions::new()).await;
        error = put.err();
        if error.is_some() {
            break;
        }
        if number % 100 == 0 {
            let _ = store.flush().await;
        }
    }
    let error = error.expect("the disk is full");
    assert!(
        error.is_retryable() && reason(&error).contains("cannot be made, read or written"),
        "{}",
        reason(&error)
    );
    for number in 0..100 {
        assert_eq!(get(&store, number).await, Some(value(number, number)), "entry {number} on the full disk");
    }
    assert!(store.flush().await.is_err());
    assert!(store.shared().epochs.unwrap().clear(&[Tag::from_bits(1)]).await.is_err());

    let id = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status().unwrap().success());
    until_available(&store).await;
    for number in 0..100 {
        assert_eq!(get(&store, number).await, Some(value(number, number)), "entry {number} after that");
    }
}
