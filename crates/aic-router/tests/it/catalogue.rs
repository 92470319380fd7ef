//! The sixteen ways in which providers fail, played by each wire format in turn; see `docs/reliability.md`.
//!
//! A primary plays the fault, a backup of another wire format is well. The times are real, as the sockets are:
//! limits are short, and nothing asserts how long a thing took.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use aic_router::{Answer, ChatRequest, Error, ErrorKind, FinishReason, Result, Router, RouterBuilder};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use crate::upstream::{Dialect, Fault, Named, Play, Refusal, Upstream, answer, dialects};

/// How long an attempt may take to its first content, and how long an answer may then stay silent.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a breaker stays open.
const COOLDOWN: Duration = Duration::from_millis(200);
/// How many scenarios run at a time: so many that they do not wait for each other's pauses, and so few that
/// none misses a limit for want of a core.
const AT_A_TIME: usize = 8;

/// What became of a scenario: how it held, or `Err` with what did not.
type Verdict = std::result::Result<&'static str, String>;

/// The request was answered whole.
const WHOLE: &str = "whole";
/// The request ended in the error that it should.
const TYPED: &str = "error";
/// The wire format has no way to say this.
const NONE: &str = "–";

struct Scenario {
    id: &'static str,
    what: &'static str,
    run: fn(&'static dyn Dialect, &'static dyn Dialect) -> BoxFuture<'static, Verdict>,
}

macro_rules! scenario {
    ($id:literal, $what:literal, $run:path) => {
        Scenario { id: $id, what: $what, run: |primary, backup| $run(primary, backup).boxed() }
    };
}

const CATALOGUE: [Scenario; 16] = [
    scenario!("S01", "429 with Retry-After", busy_for_a_while),
    scenario!("S02", "429 for ever", busy_for_ever),
    scenario!("S03", "500 once", broken_once),
    scenario!("S04", "503 for ever", unavailable),
    scenario!("S05", "connection reset", reset),
    scenario!("S06", "no response", silent),
    scenario!("S07", "slow first token", late),
    scenario!("S08", "cut at token 40 of 60", cut),
    scenario!("S09", "stall at token 40 of 60", stall),
    scenario!("S10", "malformed frame or chunk", garbage),
    scenario!("S11", "no terminal marker", no_end),
    scenario!("S12", "context too long", too_long),
    scenario!("S13", "content filter", filtered),
    scenario!("S14", "fallback refuses a prefill", no_prefill),
    scenario!("S15", "flapping", flapping),
    scenario!("S16", "accounting", accounts),
];

/// A primary with a script, a backup that is well, and a router that prefers the primary.
struct Stage {
    primary: Upstream,
    backup: Upstream,
    router: Router,
}

impl Stage {
    async fn new(
        primary: &'static dyn Dialect,
        script: impl IntoIterator<Item = Play>,
        backup: &'static dyn Dialect,
    ) -> Self {
        Self::with(primary, script, backup, [Play::Answer], |builder| builder).await
    }

    async fn with(
        primary: &'static dyn Dialect,
        script: impl IntoIterator<Item = Play>,
        backup: &'static dyn Dialect,
        backup_script: impl IntoIterator<Item = Play>,
        settings: impl FnOnce(RouterBuilder) -> RouterBuilder,
    ) -> Self {
        let primary = Upstream::start(primary, script).await;
        let backup = Upstream::start(backup, backup_script).await;
        let builder = Router::builder()
            .provider(primary.provider("primary").await)
            .provider(backup.provider("backup").await)
            .chain(["primary", "backup"])
            .first_content_timeout(LIMIT)
            .idle_timeout(LIMIT)
            .deadline(Duration::from_secs(20));
        let router = settings(builder).build().unwrap();
        Self { primary, backup, router }
    }

    async fn ask(&self) -> Result<Answer> {
        self.router.chat(ChatRequest::user("Say it.")).await?.collect().await
    }

    /// How many calls the primary and the backup had.
    fn calls(&self) -> (usize, usize) {
        (self.primary.calls(), self.backup.calls())
    }

    /// Everybody has hung up, nobody saw a key in an address, and `checks` hold.
    async fn end(self, how: &'static str, checks: &[(bool, &str)]) -> Verdict {
        self.primary.quiet().await;
        self.backup.quiet().await;
        for (holds, what) in checks {
            if !holds {
                return Err(format!("{what}; calls {:?}, {:?}", self.calls(), self.router.stats()));
            }
        }
        Ok(how)
    }
}

/// The text is the answer's, to the last character.
fn whole(result: Result<Answer>) -> std::result::Result<Answer, String> {
    let found = result.map_err(|error| format!("{error}: {:?}", error.kind()))?;
    if found.text() != answer() || found.finish != FinishReason::Stop {
        return Err(format!("not the answer, and passes for it: {found:?}"));
    }
    Ok(found)
}

/// The backup answers in the primary's place.
async fn by_backup(stage: Stage, primary_calls: usize) -> Verdict {
    let found = whole(stage.ask().await)?;
    let once = stage.calls() == (primary_calls, 1);
    stage.end(WHOLE, &[(found.provider == "backup", "not by the backup"), (once, "called too often")]).await
}

/// Breaks off in each of these ways after the first content, and goes on at the backup. Then the primary is
/// down, so that nobody but the backup can go on.
async fn broken_off(
    primary: &'static dyn Dialect,
    backup: &'static dyn Dialect,
    ways: &[(usize, Fault)],
) -> Verdict {
    for (after, fault) in ways {
        let script = [Play::Break(*after, *fault), Play::Refuse(Refusal::Unavailable)];
        let stage = Stage::new(primary, script, backup).await;
        let found = whole(stage.ask().await).map_err(|error| format!("{fault:?}: {error}"))?;
        stage.end(WHOLE, &[(found.provider == "backup", "not ended by the backup")]).await?;
    }
    Ok(WHOLE)
}

/// A short wait is waited for; a long one is left to others.
async fn busy_for_a_while(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let busy = |wait| Play::Refuse(Refusal::Busy(Some(wait)));
    let stage = Stage::new(primary, [busy(Duration::from_millis(150)), Play::Answer], backup).await;
    whole(stage.ask().await)?;
    let answered_by_one = [(2, 0), (1, 1)].contains(&stage.calls());
    stage.end(WHOLE, &[(answered_by_one, "called too often")]).await?;

    let stage = Stage::new(primary, [busy(Duration::from_secs(60))], backup).await;
    by_backup(stage, 1).await
}

/// However long it lasts, a request costs the primary no more than its first attempt and the shared retries.
async fn busy_for_ever(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let stage = Stage::new(primary, [Play::Refuse(Refusal::Busy(None))], backup).await;
    let mut checks = Vec::new();
    for request in 1..=3 {
        checks.push((whole(stage.ask().await)?.provider == "backup", "not by the backup"));
        checks.push((stage.primary.calls() <= 3 * request, "the primary is hammered"));
    }
    stage.end(WHOLE, &checks).await
}

async fn broken_once(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let stage = Stage::new(primary, [Play::Refuse(Refusal::Broken), Play::Answer], backup).await;
    whole(stage.ask().await)?;
    let answered_by_one = [(2, 0), (1, 1)].contains(&stage.calls());
    stage.end(WHOLE, &[(answered_by_one, "called too often")]).await
}

/// After five failures in a row, nobody asks the primary until its pause is over.
async fn unavailable(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let stage = Stage::new(primary, [Play::Refuse(Refusal::Unavailable)], backup).await;
    for _ in 0..4 {
        whole(stage.ask().await)?;
    }
    let calls = stage.calls();
    stage.end(WHOLE, &[(calls.0 <= 5 && calls.1 == 4, "the breaker did not open")]).await
}

async fn reset(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let stage = Stage::new(primary, [Play::Reset], backup).await;
    let found = whole(stage.ask().await)?;
    let calls = stage.calls();
    let checks = [
        (found.provider == "backup", "not by the backup"),
        (calls.0 <= 3 && calls.1 == 1, "called too often"),
    ];
    stage.end(WHOLE, &checks).await
}

async fn silent(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    by_backup(Stage::new(primary, [Play::Silence], backup).await, 1).await
}

async fn late(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    by_backup(Stage::new(primary, [Play::Late(Duration::from_secs(60))], backup).await, 1).await
}

async fn cut(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    broken_off(primary, backup, &[(40, Fault::Cut), (21, Fault::Cut), (40, Fault::Reset)]).await
}

async fn stall(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    broken_off(primary, backup, &[(40, Fault::Stall)]).await
}

async fn garbage(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    broken_off(primary, backup, &[(40, Fault::Garbage), (40, Fault::BadChunk), (40, Fault::Error)]).await
}

async fn no_end(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    broken_off(primary, backup, &[(60, Fault::NoEnd), (40, Fault::NoEnd)]).await
}

async fn too_long(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    by_backup(Stage::new(primary, [Play::Refuse(Refusal::TooLong)], backup).await, 1).await
}

/// What one provider's rules forbid is not carried to the next one.
async fn filtered(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    if primary.refusal(Refusal::Filtered).is_none() {
        return Ok(NONE);
    }
    let stage = Stage::new(primary, [Play::Refuse(Refusal::Filtered)], backup).await;
    let kind = match stage.ask().await {
        Err(error) => error.kind().cloned(),
        Ok(answer) => return Err(format!("answered: {answer:?}")),
    };
    let final_ = matches!(kind, Some(ErrorKind::ContentPolicy | ErrorKind::BadRequest));
    let calls = stage.calls();
    stage.end(TYPED, &[(final_, "not a refusal"), (calls == (1, 0), "carried to the backup")]).await
}

/// The answer breaks off, and the backup does not go on from the beginning of another's answer.
async fn no_prefill(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let broken = [Play::Break(40, Fault::Cut), Play::Refuse(Refusal::Unavailable)];
    let stage = Stage::with(primary, broken, backup, [Play::RefusePrefill], |builder| builder).await;
    let how = match stage.ask().await {
        Err(Error::Interrupted { .. }) => TYPED,
        result => whole(result).map(|_| WHOLE)?,
    };
    stage.end(how, &[]).await
}

/// A primary that fails, is left alone, and is well again is asked again.
async fn flapping(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let broken = Play::Refuse(Refusal::Broken);
    let script = [broken.clone(), broken.clone(), broken, Play::Answer];
    let settings = |builder: RouterBuilder| {
        builder.retries(0).breaker_failures(NonZeroU32::MIN.saturating_add(1)).breaker_cooldown(COOLDOWN)
    };
    let stage = Stage::with(primary, script, backup, [Play::Answer], settings).await;
    let well_again = async {
        while whole(stage.ask().await)?.provider == "backup" {
            tokio::time::sleep(COOLDOWN / 4).await;
        }
        Ok::<(), String>(())
    };
    tokio::time::timeout(Duration::from_secs(10), well_again).await.map_err(|_| "never asked again")??;
    let calls = stage.primary.calls();
    stage.end(WHOLE, &[(calls == 4, "probed at the wrong time")]).await
}

/// What the router says was used is what was served, and an attempt that failed is no answer.
async fn accounts(primary: &'static dyn Dialect, backup: &'static dyn Dialect) -> Verdict {
    let script = [Play::Answer, Play::Refuse(Refusal::TooLong), Play::Answer];
    let stage = Stage::new(primary, script, backup).await;
    let answers = [whole(stage.ask().await)?, whole(stage.ask().await)?, whole(stage.ask().await)?];
    let mut checks = Vec::new();
    for (found, dialect) in answers.iter().zip([primary, backup, primary]) {
        let served = dialect.usage();
        let used = found.usage.unwrap_or_default();
        checks.push(((used.input, used.output) == (served.input, served.output), "other tokens than served"));
        checks.push((used.cached_input == served.cached_input, "other cached tokens than served"));
        checks.push((found.cost == Named::price().cost(served), "another cost than that of what was served"));
    }
    let stats = stage.router.stats();
    let sum = |count: fn(&aic_router::ModelStats) -> u64| stats.models.iter().map(count).collect::<Vec<_>>();
    checks.push((sum(|m| m.calls) == [3, 1], "other calls than served"));
    checks.push((sum(|m| m.successes) == [2, 1] && sum(|m| m.failures) == [1, 0], "other ends than served"));
    checks.push((sum(|m| m.output_tokens) == [120, 60] && sum(|m| m.input_tokens) == [60, 30], "other sums"));
    stage.end(WHOLE, &checks).await
}

/// Plays the catalogue with every wire format as the primary and the next one as the backup.
async fn play() -> BTreeMap<(&'static str, &'static str), Verdict> {
    let dialects = dialects();
    let all = CATALOGUE.iter().flat_map(|scenario| {
        dialects.iter().enumerate().map(move |(index, primary)| {
            let backup = dialects[(index + 1) % dialects.len()];
            let run = (scenario.run)(*primary, backup);
            async move { ((scenario.id, primary.name()), run.await) }
        })
    });
    stream::iter(all).buffer_unordered(AT_A_TIME).collect().await
}

/// The scorecard as a table: scenarios down, wire formats across.
fn scorecard(found: &BTreeMap<(&'static str, &'static str), Verdict>) -> String {
    let names: Vec<&str> = dialects().iter().map(|dialect| dialect.name()).collect();
    let row = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut table = row([vec!["", "scenario"], names.clone()].concat());
    table += &format!("|{}\n", "---|".repeat(names.len() + 2));
    for Scenario { id, what, .. } in CATALOGUE {
        let cells = names.iter().map(|name| found[&(id, *name)].as_ref().map_or("FAILED", |how| how));
        table += &row([id, what].into_iter().chain(cells).collect());
    }
    table
}

fn assert_all_held(found: &BTreeMap<(&'static str, &'static str), Verdict>) {
    println!("{}", scorecard(found));
    let failed: Vec<String> = found
        .iter()
        .filter_map(|((id, dialect), verdict)| Some(format!("{id} {dialect}: {}", verdict.as_ref().err()?)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The page for people has this scorecard, or is given it where `AIC_REFRESH` is set.
fn assert_page_has(scorecard: &str) {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability.md");
    let page = std::fs::read_to_string(PAGE).unwrap();
    if std::env::var_os("AIC_REFRESH").is_some() {
        let start = page.find("|  | scenario").unwrap();
        let end = start + page[start..].find("\n\n").unwrap() + 1;
        std::fs::write(PAGE, page[..start].to_owned() + scorecard + &page[end..]).unwrap();
        return;
    }
    assert!(page.contains(scorecard), "docs/reliability.md has another scorecard; AIC_REFRESH=1 renews it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_fail_ends_whole_or_in_a_typed_error() {
    let found = play().await;

    assert_all_held(&found);
    assert_page_has(&scorecard(&found));
}

/// Each call breaks off; what is asked for next is always what the caller asked, and all that was told since.
#[tokio::test]
async fn answer_that_breaks_off_twice_is_gone_on_with_from_its_end() {
    for (index, primary) in dialects().into_iter().enumerate() {
        let backup = dialects()[(index + 1) % dialects().len()];
        let script = [Play::Break(20, Fault::NoEnd), Play::Break(10, Fault::NoEnd), Play::Answer];
        let stage = Stage::new(primary, script, backup).await;

        let found = whole(stage.ask().await);

        assert!(found.is_ok(), "{}: {}", primary.name(), found.unwrap_err());
    }
}
