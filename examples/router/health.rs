//! Whether the providers answer, found out by asking each for one word.
use std::time::Duration;

use aic::router::{
    BreakerState, ChatRequest, Error, Health, ModelInfo, ModelStats, Provider, Purpose, Router, Warmth,
};
use futures_util::future::join_all;

use crate::show::{BAD, Cell, DIM, GOOD, human, table};
use crate::{Outcome, costs, providers};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn health() -> Outcome {
    let router = providers::found().await?;
    let asked: Vec<(String, String)> = router.providers().filter_map(cheapest).collect();
    let answers = join_all(asked.iter().map(|(provider, model)| one_word(&router, provider, model))).await;
    let rows: Vec<_> =
        asked.iter().zip(&answers).map(|((p, m), answer)| row(&router, p, m, answer)).collect();
    table(["provider", "model asked", "answers", "state", "breaker", "first content"], &rows);
    costs::keep(&router.accounts());
    match answers.iter().any(Result::is_ok) {
        true => Ok(()),
        false => Err("nobody answers".into()),
    }
}

/// The provider's model that costs least to ask, those that are loaded first.
fn cheapest(provider: &dyn Provider) -> Option<(String, String)> {
    let info = provider.info();
    let price = |model: &ModelInfo| model.price.map_or(u64::MAX, |price| price.output.0);
    let cold = |model: &ModelInfo| provider.warmth(&model.name) != Warmth::Warm;
    let chats = info.models.iter().filter(|model| model.purpose == Purpose::Chat);
    let model = chats.min_by_key(|model| (cold(model), price(model)))?;
    Some((info.name.clone(), model.name.clone()))
}

async fn one_word(router: &Router, provider: &str, model: &str) -> Result<(), Error> {
    let request = ChatRequest::user("Say ok.").model(format!("{provider}/{model}"));
    router.chat(request.max_tokens(16).deadline(PATIENCE)).await?.collect().await?;
    Ok(())
}

fn row(router: &Router, provider: &str, model: &str, answer: &Result<(), Error>) -> [Cell; 6] {
    let stats = router.stats();
    let stats = stats.models.iter().find(|stats| stats.provider == provider && stats.model == model);
    let health = router.health();
    let health = health.iter().find(|health| health.provider == provider && health.model == model);
    let first = stats.and_then(|stats| stats.first_content).map_or(String::new(), human);
    [
        provider.into(),
        model.into(),
        answered(answer),
        health.map_or("".into(), |health| state(&health.health)),
        stats.map_or("".into(), breaker),
        first.into(),
    ]
}

fn answered(answer: &Result<(), Error>) -> Cell {
    match answer {
        Ok(()) => Cell::styled("yes", GOOD),
        Err(error) => {
            let kind = error.kind().map_or_else(|| error.to_string(), ToString::to_string);
            Cell::styled(format!("no: {kind}"), BAD)
        }
    }
}

fn state(health: &Health) -> Cell {
    match health {
        Health::Ready => "ready".into(),
        Health::Resting { remaining } => format!("rests for {}", human(*remaining)).into(),
        Health::Down { .. } => Cell::styled("shut off", BAD),
        _ => "?".into(),
    }
}

fn breaker(stats: &ModelStats) -> Cell {
    match stats.breaker {
        BreakerState::Closed => Cell::styled("closed", DIM),
        BreakerState::Open => Cell::styled("open", BAD),
        BreakerState::HalfOpen => "half-open".into(),
    }
}
