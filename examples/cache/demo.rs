//! One case a line: what a first call, a hit, a crowd, a refusal, a clearing and a restart look like.
use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use aic::cache::{CacheControl, Tag};
use aic::{Aic, ChatRequest, Question};
use anstream::println;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Outcome;
use crate::place::alone;
use crate::show::{DIM, HEAD, human, origin};

type Told = Result<String, Box<dyn std::error::Error>>;

const SKY: &str = "Why is the sky blue?";

pub(crate) async fn demo() -> Outcome {
    let folder = tempfile::tempdir()?;
    let ai = alone(folder.path(), |_| {}).await?;
    println!("{DIM}answers of the demonstration model, kept in {}{DIM:#}", folder.path().display());
    same_question(&ai).await?;
    many_callers(&ai).await?;
    refusals(&ai).await?;
    freshness(&ai).await?;
    clearing(&ai).await?;
    ai.shutdown().await;

    let again = alone(folder.path(), |_| {}).await?;
    head("a new program over the same folder");
    case("asked again", ask(&again, SKY)).await?;
    again.shutdown().await;

    similar_questions(folder.path()).await?;
    over_redis(folder.path()).await
}

async fn same_question(ai: &Aic) -> Outcome {
    head("the same question");
    case("first call", ask(ai, SKY)).await?;
    case("second call", ask(ai, SKY)).await?;
    case("refresh (no_cache)", ask(ai, Question::from(SKY).cache(CacheControl::new().no_cache()))).await?;
    case("another tenant", ask(ai, ChatRequest::user(SKY).tenant("globex"))).await?;
    case("temperature 0.8", ask(ai, ChatRequest::user(SKY).temperature(0.8))).await
}

async fn many_callers(ai: &Aic) -> Outcome {
    head("many callers");
    case("fifty at once", fifty(ai)).await?;
    case("one leaves, one stays", one_leaves(ai)).await
}

/// Fifty tasks stream the answer to the same new question at the same moment.
async fn fifty(ai: &Aic) -> Told {
    let (calls, mut tasks) = (calls(ai), JoinSet::new());
    for _ in 0..50 {
        let ai = ai.clone();
        tasks.spawn(async move { ai.chat("What is a rainbow?").await?.collect().await });
    }
    let answers = tasks.join_all().await.into_iter().collect::<aic::Result<Vec<_>>>()?;
    let same = answers.iter().filter(|answer| answer.parts == answers[0].parts).count();
    Ok(format!("{same} equal answers, {} call to the model", self::calls(ai) - calls))
}

/// The caller whose question began the answer hangs up; the other one has it to the end.
async fn one_leaves(ai: &Aic) -> Told {
    let calls = calls(ai);
    let mut first = ai.chat("What is thunder?").await?;
    first.next().await;
    let second = ai.chat("What is thunder?").await?;
    drop(first);
    let whole = second.collect().await?;
    let words = whole.text().split_whitespace().count();
    Ok(format!("the other has all {words} words, {} call to the model", self::calls(ai) - calls))
}

async fn refusals(ai: &Aic) -> Outcome {
    head("a question that is refused for what it is");
    let too_long = "§".repeat(800);
    for name in ["longer than the context", "the same again"] {
        let asked = too_long.as_str();
        case(name, async move {
            match ai.ask(asked).await {
                Ok(answer) => Ok(origin(&answer)),
                Err(aic::Error::Refused { refusal, .. }) => {
                    Ok(format!("not asked: known to be refused ({})", refusal.code))
                }
                Err(aic::Error::Router(error)) => Ok(cause(&error)),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
    }
    Ok(())
}

async fn freshness(ai: &Aic) -> Outcome {
    head("an answer past its time");
    let brief = CacheControl::new().ttl(Duration::from_millis(50));
    case("to live 50 ms", ask(ai, Question::from("What is snow?").cache(brief))).await?;
    sleep(Duration::from_millis(100)).await;
    case("100 ms later", ask(ai, "What is snow?")).await?;
    sleep(Duration::from_millis(500)).await;
    case("renewed meanwhile", ask(ai, "What is snow?")).await
}

async fn clearing(ai: &Aic) -> Outcome {
    head("an answer that depends on a document");
    let document = Tag::new("document", "handbook.pdf");
    let question = || Question::from("What is in the handbook?").tag(document);
    case("asked and marked", ask(ai, question())).await?;
    case("clear the document", async {
        ai.clear(&[document]).await?;
        let explanation = ai.explain_cache(question()).await.found;
        Ok(explanation.map_or_else(String::new, |found| found.to_string()))
    })
    .await?;
    case("asked again", ask(ai, question())).await
}

/// Nothing is known about a new answer, so at first a similar question is computed, and both answers are compared.
async fn similar_questions(folder: &Path) -> Outcome {
    head("a similar question, wrong at most once in a hundred");
    let bound = aic::cache::semantic::ErrorBound::default();
    let ai = alone(folder, |cache| cache.similar_error = Some(bound)).await?;
    for question in ["Do cats like warm milk?", "Do cats like  warm milk ?", "Do cats not like warm milk?"] {
        case(&format!("“{question}”"), ask(&ai, question)).await?;
    }
    let similar = ai.status().cache.and_then(|stats| stats.similarity).unwrap_or_default();
    let (known, passed) = (similar.questions, similar.conflicts);
    println!(
        "{DIM}computed at first and compared: a kept answer is given once it was right often enough\n\
         {known} questions known, {passed} near ones passed over: they ask for something else{DIM:#}"
    );
    ai.shutdown().await;
    Ok(())
}

/// Two programs with a memory of their own share what one of them computed.
async fn over_redis(folder: &Path) -> Outcome {
    head("two programs and one Redis");
    let Ok(url) = env::var("REDIS_URL") else {
        println!("{DIM}left out: REDIS_URL is not set{DIM:#}");
        return Ok(());
    };
    let with_redis = |name| {
        let (folder, url) = (folder.join(name), url.clone());
        async move { alone(&folder, |cache| cache.redis_url = Some(url)).await }
    };
    let (ours, theirs) = (with_redis("ours").await?, with_redis("theirs").await?);
    let question = format!("What is the number {}?", std::process::id()); // not asked by an earlier run
    case("one asks", ask(&ours, question.as_str())).await?;
    case("the other asks", ask(&theirs, question.as_str())).await?;
    ours.shutdown().await;
    theirs.shutdown().await;
    Ok(())
}

/// Where the answer came from.
async fn ask(ai: &Aic, question: impl Into<Question>) -> Told {
    Ok(origin(&ai.ask(question).await?))
}

/// Calls of the model so far.
fn calls(ai: &Aic) -> u64 {
    ai.router().accounts().total().calls
}

/// What kind of refusal it was, in the words of the model that was asked last.
fn cause(error: &aic::router::Error) -> String {
    let aic::router::Error::Failed { attempts } = error else { return error.to_string() };
    let words = attempts.last().map(|attempt| attempt.error.to_string()).unwrap_or_default();
    format!("refused by the model: {}", words.split(':').next().unwrap_or_default())
}

fn head(name: &str) {
    println!("\n{HEAD}{name}{HEAD:#}");
}

/// Runs one case and prints its name, its time and what came of it on a line.
async fn case(name: &str, run: impl Future<Output = Told>) -> Outcome {
    let begun = Instant::now();
    let outcome = run.await?;
    println!("{name:<30}{:>9}  {outcome}", human(begun.elapsed()));
    Ok(())
}
