//! Every model that was found, what it costs and what it can do.
use aic::router::{Ability, ModelInfo, Price, Provider, ProviderKind, Purpose, Warmth};

use crate::show::{Cell, DIM, GOOD, table};
use crate::{Outcome, providers};

pub(crate) async fn models() -> Outcome {
    let router = providers::found().await?;
    let rows: Vec<_> = router.providers().flat_map(rows).collect();
    table(["provider", "model", "context", "$/M in", "$/M out", "can", "warm"], &rows);
    Ok(())
}

fn rows(provider: &dyn Provider) -> impl Iterator<Item = [Cell; 7]> {
    let info = provider.info();
    info.models.iter().map(move |model| {
        let context = model.context_tokens.map_or("?".to_owned(), |tokens| tokens.to_string());
        let price = model.price.or((info.kind == ProviderKind::Local).then_some(Price::FREE));
        let [input, output] = prices(price);
        let name = model.name.as_str().into();
        let can = Cell::from(abilities(model));
        [info.name.as_str().into(), name, context.into(), input, output, can, warmth(provider, model)]
    })
}

fn prices(price: Option<Price>) -> [Cell; 2] {
    let Some(price) = price else {
        return ["?", "?"].map(|unknown| Cell::styled(unknown, DIM));
    };
    [price.input, price.output].map(|amount| match amount.0 {
        0 => Cell::styled("free", GOOD),
        _ => amount.to_string().into(),
    })
}

/// What it is known to be able to do.
fn abilities(model: &ModelInfo) -> String {
    if model.purpose == Purpose::Embedding {
        return "embeddings".to_owned();
    }
    let told = [Ability::Images, Ability::Audio, Ability::Tools, Ability::Structured, Ability::Reasoning];
    let can = told.into_iter().filter(|ability| model.ability(*ability) == Some(true));
    can.map(|ability| ability.to_string()).collect::<Vec<_>>().join(", ")
}

fn warmth(provider: &dyn Provider, model: &ModelInfo) -> Cell {
    match provider.warmth(&model.name) {
        Warmth::Unknown => "".into(),
        Warmth::Cold => Cell::styled("not loaded", DIM),
        Warmth::Warm => Cell::styled("loaded", GOOD),
    }
}
