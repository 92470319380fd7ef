//! Two thousand answers at a time over three providers, of whose calls one in ten fails.
//!
//! No answer is lost, none is short, and nothing is left over: no task, no open call, no connection beyond those
//! that lie idle, no permit of a breaker.

use std::sync::Arc;
use std::time::Duration;

use aic_router::testing::{FakeProvider, Step};
use aic_router::{ChatRequest, Error, ErrorKind, Event, FinishReason, ModelInfo, Provider, Router};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;

use crate::upstream::{Fault, MODEL, Play, Refusal, Upstream, answer, dialects};

const CALLERS: usize = 2_000;
/// Longer than the script of any provider can be.
const CALLS: usize = 3 * CALLERS;
const SEED: u64 = 20_260_301;
/// Callers and servers share two cores, so nothing is late before it is very late.
const LIMIT: Duration = Duration::from_secs(4);
const COOLDOWN: Duration = Duration::from_millis(50);
const RETRIES: u32 = 2;

/// How a caller's request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    /// In a typed error before the answer had begun.
    Refused,
    /// In a typed error within the answer.
    Interrupted,
    /// The caller hung up.
    Left,
}

fn plays(rng: &mut StdRng) -> Vec<Play> {
    let faults = [
        Play::Reset,
        Play::Silence,
        Play::Late(2 * LIMIT),
        Play::Refuse(Refusal::Busy(None)),
        Play::Refuse(Refusal::Broken),
        Play::Refuse(Refusal::Unavailable),
        Play::Break(0, Fault::Cut),
        Play::Break(0, Fault::NoEnd),
        Play::Break(30, Fault::Cut),
        Play::Break(30, Fault::Reset),
        Play::Break(30, Fault::Stall),
        Play::Break(30, Fault::Garbage),
        Play::Break(30, Fault::BadChunk),
        Play::Break(30, Fault::Error),
        Play::Break(60, Fault::NoEnd),
    ];
    script(rng, &Play::Answer, &faults)
}

fn steps(rng: &mut StdRng) -> Vec<Step> {
    let half = || answer().chars().take(100).collect::<String>();
    let faults = [
        Step::Fail(ErrorKind::Transient),
        Step::Fail(ErrorKind::Overloaded { retry_after: None }),
        Step::FailAfter(half(), ErrorKind::Transient),
        Step::Cut(String::new()),
        Step::Cut(half()),
        Step::Stall(half()),
        Step::Hang,
    ];
    script(rng, &Step::Reply(answer()), &faults)
}

/// A script of calls of which one in ten is one of these faults.
fn script<T: Clone>(rng: &mut StdRng, well: &T, faults: &[T]) -> Vec<T> {
    let one = |_| {
        if rng.random_bool(0.1) { faults[rng.random_range(0..faults.len())].clone() } else { well.clone() }
    };
    (0..CALLS).map(one).collect()
}

struct Storm {
    upstreams: [Upstream; 2],
    fake: FakeProvider,
    /// One router for each provider to be the first at.
    routers: Vec<Router>,
}

impl Storm {
    async fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(SEED);
        let [openai, _, anthropic, ..] = dialects();
        let upstreams = [
            Upstream::start(openai, plays(&mut rng)).await,
            Upstream::start(anthropic, plays(&mut rng)).await,
        ];
        let fake = FakeProvider::new("fake").model(ModelInfo::chat(MODEL));
        let fake = steps(&mut rng).into_iter().fold(fake, FakeProvider::then);
        let providers: [Arc<dyn Provider>; 3] = [
            Arc::new(upstreams[0].provider("openai").await),
            Arc::new(upstreams[1].provider("anthropic").await),
            Arc::new(fake.clone()),
        ];
        let names = ["openai", "anthropic", "fake"];
        let router = |first: usize| {
            let chain = (0..3).map(|index| names[(first + index) % 3]);
            let builder =
                providers.iter().fold(Router::builder(), |builder, p| builder.provider_arc(p.clone()));
            builder
                .chain(chain)
                .retries(RETRIES)
                .first_content_timeout(LIMIT)
                .idle_timeout(LIMIT)
                .breaker_cooldown(COOLDOWN)
        };
        let routers = (0..3).map(|first| router(first).build().unwrap()).collect();
        Self { upstreams, fake, routers }
    }

    /// Every second caller hangs up after so many events, drawn up front so that the storm can be repeated.
    async fn rage(&self) -> Vec<Ending> {
        let mut rng = StdRng::seed_from_u64(SEED + 1);
        let callers: FuturesUnordered<_> = (0..CALLERS)
            .map(|caller| {
                let patience = (caller % 2 == 0).then(|| rng.random_range(0..65));
                let router = self.routers[caller % 3].clone();
                tokio::spawn(async move { call(&router, patience).await })
            })
            .collect();
        callers.map(Result::unwrap).collect().await
    }
}

async fn call(router: &Router, patience: Option<usize>) -> Ending {
    let mut stream = match router.chat(ChatRequest::user("Say it.")).await {
        Ok(stream) => stream,
        Err(Error::Failed { .. } | Error::DeadlineExceeded { .. } | Error::NoCandidate(_)) => {
            return Ending::Refused;
        }
        Err(error) => panic!("{error:?}"),
    };
    let mut text = String::new();
    let mut events = 0;
    while patience.is_none_or(|patience| events < patience) {
        events += 1;
        match stream.next().await.expect("nothing ends without saying so") {
            Ok(Event::Text(piece)) => text.push_str(&piece),
            Ok(Event::End(reason)) => {
                assert_eq!((reason, text), (FinishReason::Stop, answer()));
                return Ending::Whole;
            }
            Ok(_) => {}
            Err(Error::Interrupted { .. }) => {
                assert!(answer().starts_with(&text), "what came before the error is the answer's beginning");
                return Ending::Interrupted;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(answer().starts_with(&text));
    Ending::Left
}

/// Waits until `holds`; what the ends of connections leave behind is put away a little later.
async fn soon(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), wait).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_loses_no_answer_and_leaves_nothing_behind() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let at_first = tasks();
    let storm = Storm::new().await;

    let endings = storm.rage().await;

    let count = |ending| endings.iter().filter(|found| **found == ending).count();
    let [whole, refused, interrupted, left] =
        [Ending::Whole, Ending::Refused, Ending::Interrupted, Ending::Left].map(count);
    println!("whole {whole}, refused {refused}, interrupted {interrupted}, left {left}");
    assert_eq!(whole + refused + interrupted + left, CALLERS);
    // Most breaks are gone on with, and two backups answer for a provider that fails before it begins.
    let stayed = whole + refused + interrupted;
    assert!(
        refused * 50 < stayed && interrupted * 10 < stayed,
        "refused {refused}, interrupted {interrupted}"
    );

    soon("calls are left open", || storm.fake.open_calls() == 0).await;
    for upstream in &storm.upstreams {
        upstream.quiet().await;
    }
    assert_breakers_let_probes_through(&storm).await;

    let Storm { upstreams, fake: _, routers } = storm;
    drop(routers);
    soon("connections are left open", || upstreams.iter().all(|upstream| upstream.connections() == 0)).await;
    drop(upstreams);
    soon("tasks are left behind", || tasks() == at_first).await;
}

/// A permit that was lost would keep its breaker half-open for ever.
async fn assert_breakers_let_probes_through(storm: &Storm) {
    for router in &storm.routers {
        soon("a breaker is wedged", || {
            router
                .stats()
                .models
                .iter()
                .all(|model| model.calls == model.successes + model.failures + model.cancelled)
        })
        .await;
        // Twelve times the cooldown is the longest pause.
        tokio::time::sleep(12 * COOLDOWN).await;
        for name in ["openai", "anthropic", "fake"] {
            let request = || ChatRequest::user("Say it.").model(format!("{name}/{MODEL}"));
            let mut tries = 0..20;
            while let Err(error) = async { router.chat(request()).await?.collect().await }.await {
                assert!(tries.next().is_some(), "{name}: {error}");
                tokio::time::sleep(COOLDOWN).await;
            }
        }
    }
}
