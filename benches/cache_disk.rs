//! What a store on disk costs, beside redb's bare get on the same file.
//!
//! `cargo bench --bench cache_disk`; `AIC_BENCH_ENTRIES` says how many entries there are, 100000 by default. Run as a test,
//! it shows with a hundredth of them that it works.
use std::{env, path::Path, time::Instant};

use aic_cache::{DiskStore, Fingerprint, PutOptions, Store, Tenant};
use bytes::Bytes;
use redb::ReadableDatabase;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const RECORDS: redb::TableDefinition<'_, [u8; 32], &[u8]> = redb::TableDefinition::new("records");

#[tokio::main]
async fn main() -> Result {
    let default = if env::args().any(|argument| argument == "--bench") { 100_000 } else { 1000 };
    let count = env::var("AIC_BENCH_ENTRIES").map_or(Ok(default), |count| count.parse())?;
    let key = |number: u64| Fingerprint::of("bench 1", &Tenant::default(), &number);
    let keys = (0..count).map(key).collect::<std::result::Result<Vec<_>, _>>()?;
    for size in [300, 1500, 4000, 20_000] {
        println!("{count} entries of {size} bytes");
        let folder = tempfile::tempdir()?;
        write(folder.path(), &keys, &vec![7; size].into()).await?;
        read(folder.path(), &keys).await?;
        bare(&folder.path().join("cache.redb"), &keys)?;
    }
    Ok(())
}

fn open(folder: &Path) -> Result<DiskStore> {
    Ok(DiskStore::builder(folder).capacity_bytes(16 << 30).build()?)
}

async fn write(folder: &Path, keys: &[Fingerprint], bytes: &Bytes) -> Result {
    let (store, begin, mut puts, mut flushes) = (open(folder)?, Instant::now(), Vec::new(), Vec::new());
    for key in keys {
        let begin = Instant::now();
        while store.put(key, bytes.clone(), PutOptions::new()).await.is_err() {
            store.flush().await?; // The queue is full.
        }
        puts.push(begin.elapsed());
    }
    store.flush().await?;
    println!("  all durable after {:.1?}", begin.elapsed());
    for key in keys.iter().take(50) {
        store.put(key, bytes.clone(), PutOptions::new()).await?;
        let begin = Instant::now();
        store.flush().await?;
        flushes.push(begin.elapsed());
    }
    show("put", puts);
    show("flush of one entry", flushes);
    Ok(())
}

async fn read(folder: &Path, keys: &[Fingerprint]) -> Result {
    let (begin, mut hits) = (Instant::now(), Vec::new());
    let store = open(folder)?;
    println!("  opened after {:.1?}, holds {:?} bytes", begin.elapsed(), store.tiers()[0].bytes);
    for key in keys {
        let begin = Instant::now();
        store.get(key).await?.ok_or("an entry is missing")?;
        hits.push(begin.elapsed());
    }
    show("hit", hits);
    Ok(())
}

fn bare(file: &Path, keys: &[Fingerprint]) -> Result {
    let (database, mut gets) = (redb::Builder::new().set_cache_size(64 << 20).open(file)?, Vec::new());
    for key in keys {
        let begin = Instant::now();
        let record = database.begin_read()?.open_table(RECORDS)?.get(key.as_bytes())?.ok_or("none")?;
        std::hint::black_box(Bytes::copy_from_slice(record.value()));
        gets.push(begin.elapsed());
    }
    show("redb's get alone", gets);
    Ok(())
}

fn show(what: &str, mut times: Vec<std::time::Duration>) {
    times.sort_unstable();
    let at = |thousandth: usize| times[(times.len() - 1) * thousandth / 1000];
    println!("  {what}: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}", at(500), at(990), at(999));
}
