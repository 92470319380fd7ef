//! How the parts are found and put together; what is missing or broken becomes a [`Finding`](crate::Finding).
mod costs;
mod embedding;
mod further;
mod local;
mod model;
mod providers;
mod routing;
mod store;
mod watch;

pub(crate) use costs::Costs;
pub(crate) use embedding::EmbeddingModel;
pub(crate) use further::{FurtherModel, FurtherModels};
pub(crate) use local::LocalModels;
pub(crate) use model::{LocalModel, ModelSource, OnStep};
pub(crate) use providers::{Surroundings, providers};
pub(crate) use routing::{http, router};
pub(crate) use store::cache;
pub(crate) use watch::Watch;

/// An error and its causes in one line, `cannot read x: permission denied`; what a cause only repeats is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| match cause.to_string() {
        said if line.ends_with(&said) => line,
        said => format!("{line}: {said}"),
    })
}

/// A name for the router and for people, without blanks.
fn spelled(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join("-").to_lowercase()
}
