//! A bench run behind the tuner's door: the outcome of one configuration.
use aic_bench::{ClosedLoop, Report, Target};
use aic_tuner::{Configuration, Objective, Outcome};

/// Puts a target made for each configuration under a load, and reads one number from the report.
///
/// A run in which requests failed is infeasible: a configuration that loses answers is never the best one.
///
/// ```
/// use aic::{adapters::BenchObjective, bench::{ClosedLoop, target_fn}, tuner::{SearchSpace, Study}};
///
/// # #[aic::tokio::main(crate = "aic::tokio", flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let space = SearchSpace::builder().int("spins", 1..=64).build()?;
/// let mut study = Study::builder(space).seed(1).build();
/// let load = ClosedLoop::new(1).requests(20);
///
/// let objective = BenchObjective::new(load, |tried| {
///     let spins = tried.int("spins").unwrap_or(1);
///     target_fn(move |_request, timeline| async move {
///         (0..spins * 1000).for_each(|spin| { std::hint::black_box(spin); });
///         timeline.tokens(1);
///         Ok(())
///     })
/// }, |report| report.latency.median().map(|median| median.as_secs_f64()));
///
/// study.optimize(objective, 10).await;
/// assert!(study.best().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BenchObjective<M, V> {
    load: ClosedLoop,
    target: M,
    value: V,
}

impl<M, V> BenchObjective<M, V> {
    /// Runs `load` against what `target` makes of a configuration, and takes what `value` reads from the report.
    pub fn new<T: Target>(load: ClosedLoop, target: M, value: V) -> Self
    where
        M: FnMut(&Configuration) -> T + Send,
        V: Fn(&Report) -> Option<f64> + Send + Sync,
    {
        Self { load, target, value }
    }
}

impl<M, V, T> Objective for BenchObjective<M, V>
where
    M: FnMut(&Configuration) -> T + Send,
    V: Fn(&Report) -> Option<f64> + Send + Sync,
    T: Target,
{
    async fn evaluate(&mut self, configuration: Configuration) -> Outcome {
        let target = (self.target)(&configuration);
        match self.load.run(target).await {
            Err(error) => Outcome::Failed(error.to_string()),
            Ok(report) if report.failed() > 0 => {
                Outcome::Infeasible(format!("{} requests failed", report.failed()))
            }
            Ok(report) => (self.value)(&report)
                .map_or_else(|| Outcome::Failed("the report has no such value".to_owned()), Outcome::from),
        }
    }
}
