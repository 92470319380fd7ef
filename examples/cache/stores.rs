//! What the stores hold, and clearing part of it.
use std::time::{Duration, Instant};

use aic::cache::{CacheStats, Tag, Tenant, TierStats};
use aic::{Aic, FindingState};
use anstream::println;
use clap::Args;
use serde_json::json;

use crate::Outcome;
use crate::place::Place;
use crate::show::{DIM, GOOD, HEAD, human, size};

const SAMPLE: [&str; 10] = [
    "Why is the sky blue?",
    "What is a cache?",
    "Is a whale a fish?",
    "Why do leaves fall?",
    "How far is the moon?",
    "What is bread made of?",
    "Who was Ada Lovelace?",
    "Why does ice float?",
    "What does a bee eat?",
    "What is zero?",
];

/// What the answers to be cleared have in common. Several marks: all that have one of them.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Marks {
    /// All answers of this provider, such as `local` or `openai`
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// All answers of this model, such as `aic-demo`
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// All answers of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Vec<String>,
    /// All answers made from this document
    #[arg(long, value_name = "NAME")]
    document: Vec<String>,
}

impl Marks {
    /// What is to be cleared, in words and as tags.
    fn named(&self) -> Vec<(String, Tag)> {
        let kinds = [("provider", &self.provider), ("model", &self.model), ("document", &self.document)];
        let named = kinds.into_iter().flat_map(|(kind, names)| {
            names.iter().map(move |name| (format!("{kind} {name}"), Tag::new(kind, name)))
        });
        let tenants =
            self.tenant.iter().map(|name| (format!("tenant {name}"), Tag::tenant(&Tenant::new(name))));
        named.chain(tenants).collect()
    }
}

pub(crate) async fn clear(place: &Place, marks: &Marks) -> Outcome {
    let ai = place.open_stores().await?;
    let (names, tags): (Vec<_>, Vec<_>) = marks.named().into_iter().unzip();
    let begun = Instant::now();
    ai.clear(&tags).await?;
    let took = begun.elapsed();
    ai.shutdown().await;
    println!("cleared in {}: every answer of {}", human(took), names.join(", and of "));
    Ok(())
}

pub(crate) async fn stats(place: &Place, sample: bool, json: bool) -> Outcome {
    let ai = if sample { place.open().await? } else { place.open_stores().await? };
    if sample {
        ask_twice(&ai).await?;
    }
    let stats = ai.status().cache.ok_or("the cache is turned off")?;
    if json {
        println!("{:#}", json!({ "folder": place.folder(), "stats": stats }));
    } else {
        show(place, &ai, &stats);
        if sample {
            println!("\n{stats}");
        }
    }
    ai.shutdown().await;
    Ok(())
}

async fn ask_twice(ai: &Aic) -> Outcome {
    for question in SAMPLE.into_iter().chain(SAMPLE) {
        ai.ask(question).await?;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await; // The disk is written once a second.
    Ok(())
}

/// Memory is left out: it belongs to this process and ends with it.
fn show(place: &Place, ai: &Aic, stats: &CacheStats) {
    if let Some(disk) = stats.tiers.iter().find(|tier| tier.tier == "disk") {
        println!("{HEAD}folder{HEAD:#}  {}\n        {}", place.folder().display(), fill(disk));
    }
    let is_told = |finding: &&aic::Finding| finding.state == FindingState::Broken;
    for redis in ai.findings().iter().filter(|finding| finding.subject == "Redis" && !is_told(finding)) {
        let style = if redis.state == FindingState::Used { GOOD } else { DIM };
        println!("{HEAD}Redis{HEAD:#}   {style}{}{style:#}", redis.note);
    }
    if stats.hit_ratio().is_none() {
        println!("{DIM}Hits and misses are counted by each process for itself: see `stats --sample`.{DIM:#}");
    }
}

fn fill(tier: &TierStats) -> String {
    let entries =
        tier.entries.map(|entries| format!("{entries} answer{}", if entries == 1 { "" } else { "s" }));
    let bytes = tier.bytes.zip(tier.capacity_bytes);
    let bytes = bytes.map(|(held, capacity)| format!("{} of {}", size(held), size(capacity)));
    let evicted = tier.evictions.filter(|evicted| *evicted > 0);
    let evicted = evicted.map(|evicted| format!("{evicted} evicted to make room"));
    [entries, bytes, evicted].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
